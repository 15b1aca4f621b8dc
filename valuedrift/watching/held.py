"""Checkpoints that are held while their trainer may delete them: the files under second names, in a folder that says which checkpoint it is of."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint

OF_MODEL = (".safetensors", ".json", ".jinja", ".txt", ".model")
"""Endings of the files that a model is loaded from."""
NOTE = ".held.json"
"""Says which checkpoint a folder holds."""
_WEIGHTS = ".safetensors"


class ChangedError(Exception):
    """A checkpoint changed while it was being held."""


class NoRoomError(UserError):
    """What is held may take no more room."""


@dataclass(frozen=True, slots=True)
class Held:
    """A checkpoint that is held.

    Attributes:
        folder: Its files.
        step: Optimizer step.
        name: Where it lay.
        state: What its files were, see `state_of`.
    """

    folder: Path
    step: int
    name: str
    state: str


def state_of(folder: Path) -> tuple[str, dict[str, int]]:
    """What tells a folder's files from what they were before, and when each was written; nothing of a folder that is gone.

    Returns:
        A fingerprint of names, sizes, times and inodes, and the times in ns by name.
    """
    stats = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # deleted since it was listed: the next look sees it
        for path in sorted(folder.iterdir()):
            with contextlib.suppress(FileNotFoundError):
                stats.append((path.name, path.stat()))
    state = fingerprint([[name, stat.st_size, stat.st_mtime_ns, stat.st_ino] for name, stat in stats])
    return state, {name: stat.st_mtime_ns for name, stat in stats}


def hold(step: int, folder: Path, within: Path, room: float, name: str, state: str, again: Callable[[], str]) -> Held:
    """Hold a checkpoint: its weights by links on the same disk, else by copies; small files, which trainers write over in place, by copies.

    Args:
        step: Its step.
        folder: Where it lies.
        within: Folder for all that is held. What is held of another state of the step stays: something may be reading it.
        room: Bytes that ``within`` may take.
        name: Where it lies, as whoever follows it calls it.
        state: Its state when it was seen.
        again: Its state now.

    Raises:
        NoRoomError: The room or the disk is full.
        ChangedError: It changed meanwhile, or is gone.
    """
    aside, held = within / f".{os.getpid()}-{step}", within / f"step-{step}-{state[:12]}"
    try:
        files = [path for path in folder.iterdir() if path.suffix in OF_MODEL and path.is_file() and path.name != NOTE]
        if sum(map(_size, (*files, *within.glob("step-*/*")))) > room:
            raise NoRoomError(f"{room / 1e9:g} GB are taken", where=str(within))
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        for path in files:
            _second(path, aside / path.name)
        if again() != state:
            raise ChangedError("it changed while it was looked at")
        (aside / NOTE).write_text(json.dumps({"step": step, "name": name, "state": state}), encoding="utf-8")
        shutil.rmtree(held, ignore_errors=True)
        aside.rename(held)
    except FileNotFoundError as error:
        raise ChangedError("it went while it was looked at") from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise NoRoomError("the disk is full", where=str(within)) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Held(held, step, name, state)


def held_in(within: Path) -> Iterator[Held]:
    """All that is held in a folder, of each step the latest last."""
    found = []
    for folder in within.glob("step-*"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # being let go, or not a held one
            note = folder / NOTE
            content = json.loads(note.read_text(encoding="utf-8"))
            found.append((note.stat().st_mtime_ns, Held(folder, int(content["step"]), str(content["name"]), str(content["state"]))))
    yield from (held for _, held in sorted(found, key=lambda pair: (pair[1].step, pair[0])))


def let_go(within: Path, step: int, state: str) -> bool:
    """Let go of a state of a step and of those that were held of the step before it; whether there were any."""
    of_step = [held for held in held_in(within) if held.step == step]
    states = [held.state for held in of_step]
    if state not in states:
        return False
    for held in of_step[: len(states) - states[::-1].index(state)]:
        shutil.rmtree(held.folder, ignore_errors=True)
    return True


def _size(path: Path) -> int:
    """Bytes of a file; none of one that somebody let go of meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _second(path: Path, target: Path) -> None:
    """A second name of a file of weights, or a copy where the disks differ or the file is small."""
    if path.suffix == _WEIGHTS:
        try:
            os.link(path.resolve(), target)  # a link of a link leads nowhere from here
            return
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
                raise
    shutil.copy2(path, target)
