"""What is stopped with the whole did not fail: it is shown as stopped, and not tried again."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from valuedrift.errors import StageError, StoppedError
from valuedrift.jobs import ChildPool
from valuedrift.tasks import board as boards
from valuedrift.tasks.carry_out import _may_pass


class Outcomes(boards.Quiet):
    """A board that keeps how stages ended."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []

    def end(self, stage: int, outcome: str) -> None:
        self.outcomes.append(outcome)


@pytest.mark.parametrize(
    ("error", "outcome"), [(StoppedError("stopped"), "stopped"), (StageError("died"), "failed"), (KeyboardInterrupt(), "stopped")]
)
def test_a_stage_that_was_stopped_is_shown_so(error: BaseException, outcome: str) -> None:
    board = Outcomes()
    with boards.on_board(board), pytest.raises(type(error)), boards.shown("judge"):
        raise error
    assert board.outcomes == [outcome]


def test_a_job_that_waits_while_all_is_stopped_was_stopped(tmp_path: Path) -> None:
    pool, ended = ChildPool(tmp_path, workers=0, threads=1), []

    def wait() -> None:
        with pytest.raises(StoppedError):
            pool.run(lambda _: pytest.fail("it has no child"))
        ended.append(True)

    waiting = threading.Thread(target=wait)
    waiting.start()
    pool.stop()
    waiting.join(10)
    assert ended


class Ended:
    """A state of Prefect with an exception."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def result(self, *, raise_on_failure: bool) -> BaseException:
        return self.error


@pytest.mark.parametrize(("error", "again"), [(StoppedError("stopped"), False), (StageError("died"), True)])
def test_only_what_died_is_tried_again(error: StageError, again: bool) -> None:
    assert _may_pass(None, None, Ended(error)) is again
