"""What is held of checkpoints that a trainer may delete: files by links on the same disk, by copies elsewhere, within a stated room."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from valuedrift.tasks.board import tell
from valuedrift.tasks.candidates import Candidate
from valuedrift.watching.checkpoints import NotWholeError
from valuedrift.weights import TOKENIZERS

_OF_MODEL = (".safetensors", ".json", ".jinja", ".txt", ".model")
_OF_TOKENIZER = (*TOKENIZERS, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt", "chat_template.jinja")
_NOTE = ".held.json"
"""Says which checkpoint a folder holds."""


class Holding:
    """What is held of one series.

    Args:
        folder: Where, on the disk of the tables.
        gigabytes: Room that it may take.
    """

    def __init__(self, folder: Path, gigabytes: float) -> None:
        self.folder = folder
        self.on = False
        """Whether anything new is held."""
        self._room = gigabytes * 1e9
        self._let_go: set[tuple[int, str]] = set()
        self._told = False

    def candidates(self) -> list[tuple[int, Candidate]]:
        """What is held, also by a run that was killed, with its steps."""
        return [(int(path.name.removeprefix("step-")), candidate) for path, candidate in self._noted()]

    def hold(self, step: int, candidate: Candidate, folder: Path) -> Path:
        """Hold a whole checkpoint.

        Args:
            step: Its step.
            candidate: As it was seen.
            folder: Where it lies on this machine.

        Returns:
            Where it is held; the folder itself where nothing can delete it, or where there is no room.

        Raises:
            NotWholeError: It changed meanwhile.
        """
        if not self.on or candidate.fixed or str(folder) != candidate.name or (step, candidate.state) in self._let_go:
            return folder
        files = [path for path in folder.iterdir() if path.suffix in _OF_MODEL and path.is_file()]
        if self._taken() + sum(path.stat().st_size for path in files) > self._room:
            self._tell_room(candidate.name)
            return folder
        aside, held = self.folder / f".{os.getpid()}-{step}", self.folder / f"step-{step}"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        try:
            for path in files:
                _link(path, aside / path.name)
            if candidate.again() != candidate.state:
                raise NotWholeError("it changed while it was looked at")
            (aside / _NOTE).write_text(json.dumps({"name": candidate.name, "state": candidate.state}), encoding="utf-8")
            shutil.rmtree(held, ignore_errors=True)
            aside.rename(held)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            self._tell_room(candidate.name)
            return folder
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return held

    def let_go(self, step: int) -> bool:
        """Let go of a step; whether it was held."""
        held = self.folder / f"step-{step}"
        note = _note_in(held)
        if note is None:
            return False
        self._let_go.add((step, note[1]))
        shutil.rmtree(held, ignore_errors=True)
        with contextlib.suppress(OSError):  # the last one takes the empty folders with it
            self.folder.rmdir()
            self.folder.parent.rmdir()
        return True

    def _noted(self) -> Iterator[tuple[Path, Candidate]]:
        for path in sorted(self.folder.glob("step-*")):
            if (note := _note_in(path)) is not None:
                yield path, Candidate(note[0], path.name, note[1], {}, partial(Path, path), fixed=True)

    def _taken(self) -> int:
        return sum(path.stat().st_size for path in self.folder.glob("step-*/*"))

    def _tell_room(self, name: str) -> None:
        if not self._told:
            self._told = True
            tell(
                f"{name} and later checkpoints are not held: {self._room / 1e9:g} GB (`room_gigabytes`) are taken; if the trainer deletes them they are lost"
            )


def _note_in(folder: Path) -> tuple[str, str] | None:
    try:
        note = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
        return str(note["name"]), str(note["state"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _link(path: Path, target: Path) -> None:
    """A second name of a file, or a copy where the disks differ."""
    try:
        os.link(path, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
            raise
        shutil.copy2(path, target)


def with_tokenizer(folder: Path, base: Path, aside: Path) -> Path:
    """A folder with a checkpoint's files and the tokenizer of its base, by symbolic links: nothing is copied.

    Args:
        folder: A checkpoint without a tokenizer.
        base: The model that it was trained from.
        aside: Where.
    """
    shutil.rmtree(aside, ignore_errors=True)  # its links may lead to what was let go
    aside.mkdir(parents=True)
    for path in folder.iterdir():
        if path.suffix in _OF_MODEL and path.is_file() and path.name != _NOTE:
            (aside / path.name).symlink_to(path.absolute())
    for name in _OF_TOKENIZER:
        if (base / name).exists() and not (aside / name).exists():
            (aside / name).symlink_to((base / name).absolute())
    return aside
