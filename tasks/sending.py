"""What a training leaves, sent to the bucket of the root while it goes on, and brought from there where another machine went on further.

A training never waits for the bucket: what is to be sent has second names on the disk, so that it stays though the training drops it.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from valuedrift.errors import StoppedError, UserError
from valuedrift.storage.weights_store import Place
from valuedrift.tasks.board import tell
from valuedrift.tasks.work import Work
from valuedrift.training.folder import copy_state, is_of_training, published_in, reached

_LOOK_SECONDS = 1.0
"""How often a training's folder is looked at for what is to be sent."""


def bring_training(work: Work, key: str) -> None:
    """Before a training begins: have what another machine left of it, if that is further than what is here.

    Args:
        work: Where the root is.
        key: Of the run.

    Raises:
        DataError: What lies in the bucket is damaged.
        UserError: The bucket can't be reached.
    """
    store = work.weights.store
    if not store.is_remote:
        return
    folder = store.folder(key)
    if store.bring_run(key, reached(folder)):
        tell(f"the training {key} goes on where another machine left it")
    elif folder.exists() and not is_of_training(folder):
        shutil.rmtree(folder)  # single checkpoints that were brought here: it begins anew


@contextmanager
def sending(work: Work, key: str, label: str) -> Iterator[None]:
    """For the length of a block that trains: send its checkpoints and its state; when it has ended well, or was stopped, all of them have been sent.

    Args:
        work: Where the root is.
        key: Of the run.
        label: What is said to be sent.

    Raises:
        UserError: The bucket can't be reached at the end; what is here stays, and is sent by the next try.
    """
    if not work.weights.store.is_remote:
        yield
        return
    sender = _Sender(work, key)
    ended = threading.Event()

    def follow() -> None:
        told = False
        while not ended.wait(_LOOK_SECONDS):
            try:
                sender.send()
            except FileNotFoundError:  # it went on meanwhile: the next look sees what is there then
                continue
            except UserError as fault:
                if not told:
                    tell(f"{label}: not sent yet, and tried again: {fault}")
                told = True

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    except StoppedError:
        ended.set()
        follower.join()
        try:
            sender.send()
        except UserError as fault:
            tell(f"{label}: its last state stays on this machine: {fault}")
        raise
    finally:
        ended.set()
        follower.join()
    sender.send()


class _Sender:
    """Sends what is new of one training."""

    def __init__(self, work: Work, key: str) -> None:
        self._store = work.weights.store
        self._key = key
        self._scratch = work.scratch
        self._sent: set[str] = set()
        self._reached: tuple[int, ...] = ()

    def send(self) -> None:
        """Send checkpoints that were not sent, then the state, which is never ahead of them.

        Raises:
            FileNotFoundError: Something went meanwhile.
            UserError: The bucket can't be reached.
        """
        folder = self._store.folder(self._key)
        self._scratch.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="sending-", dir=self._scratch) as aside:
            now = reached(folder)
            further = any(now) and now != self._reached
            if further:
                copy_state(folder, Path(aside))
            for path in published_in(folder).values():
                if path.name not in self._sent:
                    self._store.send(Place(self._key, path.name))
                    self._sent.add(path.name)
            if further:
                self._store.send_state(self._key, Path(aside), now)
                self._reached = now
