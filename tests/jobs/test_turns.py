"""A job waits for a child and then for a slot, shows that it waits, and holds the slot as long as it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import BaseModel

from valuedrift.errors import DataError, StageError
from valuedrift.jobs import ChildPool


class NoJob(BaseModel):
    """What no child can do."""


def test_the_slot_is_taken_after_the_child_and_given_back_whatever_becomes_of_the_job(tmp_path: Path) -> None:
    told: list[str] = []

    @contextmanager
    def waiting() -> Iterator[None]:
        told.append("waits")
        yield
        told.append("goes")

    @contextmanager
    def slot(_: Callable[[], bool]) -> Iterator[None]:
        told.append("slot")
        try:
            yield
        finally:
            told.append("given back")

    def make(_: Path) -> NoJob:
        told.append("begins")
        raise DataError("no rows")

    pool = ChildPool(tmp_path, workers=1, threads=1, waiting=waiting, slot=slot)
    for _ in range(2):  # the child is given back too
        with pytest.raises(DataError):
            pool.run(make)
    pool.close()
    assert told == 2 * ["waits", "slot", "goes", "begins", "given back"]


def test_a_job_that_waits_for_a_slot_ends_when_the_pool_is_stopped(tmp_path: Path) -> None:
    asked, faults = threading.Event(), list[str]()

    @contextmanager
    def slot(stopped: Callable[[], bool]) -> Iterator[None]:
        asked.set()
        while not stopped():
            pass
        raise StageError("stopped before it began")
        yield

    def work() -> None:
        try:
            pool.run(lambda _: NoJob())
        except StageError as error:
            faults.append(error.what)

    pool = ChildPool(tmp_path, workers=1, threads=1, slot=slot)
    thread = threading.Thread(target=work)
    thread.start()
    assert asked.wait(30)
    pool.close()
    thread.join(30)
    assert faults == ["stopped before it began"]
