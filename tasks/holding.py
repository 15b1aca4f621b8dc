"""What is held of checkpoints that a trainer may delete, within a stated room; and checkpoints without a tokenizer beside their base's."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from valuedrift.tasks.board import tell
from valuedrift.tasks.candidates import Candidate
from valuedrift.tokenizer_files import TOKENIZERS
from valuedrift.watching.checkpoints import NotWholeError
from valuedrift.watching.held import NOTE, OF_MODEL, ChangedError, Held, NoRoomError, held_in, hold, let_go

_OF_TOKENIZER = (*TOKENIZERS, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt", "chat_template.jinja")


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
        """What is held, also by a run that was killed, with its steps; of each step the latest."""
        latest = {held.step: held for held in held_in(self.folder)}
        return [(step, _candidate(held)) for step, held in latest.items()]

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
        try:
            return hold(step, folder, self.folder, self._room, candidate.name, candidate.state, candidate.again).folder
        except ChangedError as error:
            raise NotWholeError(str(error)) from error
        except NoRoomError as error:
            self._tell_room(candidate.name, error.what)
            return folder

    def let_go(self, step: int, state: str) -> bool:
        """Let go of a step as it was in some state; whether it was held."""
        if not let_go(self.folder, step, state):
            return False
        self._let_go.add((step, state))
        with contextlib.suppress(OSError):  # the last one takes the empty folders with it
            self.folder.rmdir()
            self.folder.parent.rmdir()
        return True

    def _tell_room(self, name: str, why: str) -> None:
        if not self._told:
            self._told = True
            tell(f"{name} and later checkpoints are not held: {why} (`room_gigabytes`); if the trainer deletes them they are lost")


def _candidate(held: Held) -> Candidate:
    return Candidate(held.name, held.folder.name, held.state, {}, lambda: held.folder, fixed=True)


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
        if path.suffix in OF_MODEL and path.is_file() and path.name != NOTE:
            (aside / path.name).symlink_to(path.absolute())
    for name in _OF_TOKENIZER:
        if (base / name).exists() and not (aside / name).exists():
            (aside / name).symlink_to((base / name).absolute())
    return aside
