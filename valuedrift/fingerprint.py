"""Content fingerprints: what a thing is, never where it lies or when it was made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20
LENGTH = 20
"""Hex digits kept of a SHA-256: 80 bits, so that a billion artifacts collide with probability below 1e-6."""


def fingerprint(value: Any) -> str:
    """Fingerprint of a JSON-able value (dicts in any key order).

    Args:
        value: Anything ``json.dumps`` accepts; floats keep their shortest exact form.

    Returns:
        ``LENGTH`` hex digits.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def bytes_fingerprint(data: bytes) -> str:
    """Fingerprint of bytes; that of a file that holds them."""
    return hashlib.sha256(data).hexdigest()[:LENGTH]


def file_fingerprint(path: Path) -> str:
    """Fingerprint of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()[:LENGTH]


def files_fingerprint(folder: Path, names: Iterable[str]) -> str:
    """Fingerprint of several files of a folder by their names and bytes, in any order."""
    return fingerprint({name: file_fingerprint(folder / name) for name in sorted(names)})


def seed_from(*parts: object) -> int:
    """A 63-bit seed from data, so that order and batching never change a draw.

    Args:
        parts: What the draw belongs to: weights, prompt, sample index, study seed.
    """
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
