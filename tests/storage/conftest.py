"""Roots to store in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # `frames`, the rows that these tests write


@pytest.fixture
def root(tmp_path: Path) -> str:
    """An empty local root."""
    return str(tmp_path / "root")
