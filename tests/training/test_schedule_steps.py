"""When runs are saved."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from valuedrift.errors import UserError
from valuedrift.training.registry import ALGORITHMS
from valuedrift.training.schedule import Every, Fixed, LogSpaced, Schedule

ANY: TypeAdapter[LogSpaced | Every | Fixed] = TypeAdapter(Schedule)
SCHEDULES = st.one_of(
    st.integers(2, 60).map(lambda points: LogSpaced(points=points)),
    st.integers(1, 500).map(lambda n: Every(n=n)),
    st.lists(st.integers(0, 3000), max_size=8).map(lambda steps: Fixed(steps=tuple(steps))),
)
TOTALS = st.integers(0, 2000)


@given(SCHEDULES, TOTALS)
def test_first_and_last_are_always_there_and_all_is_in_order(schedule: LogSpaced | Every | Fixed, total: int) -> None:
    steps = schedule.steps(total)
    assert steps[0] == 0
    assert steps[-1] == total
    assert all(early < late for early, late in pairwise(steps))


@given(SCHEDULES)
def test_it_reads_back_what_it_writes(schedule: LogSpaced | Every | Fixed) -> None:
    assert ANY.validate_json(ANY.dump_json(schedule)) == schedule


@given(st.integers(2, 60), TOTALS)
def test_log_spaced_has_the_points_asked_for_and_never_closes_up(points: int, total: int) -> None:
    steps = LogSpaced(points=points).steps(total)
    assert len(steps) == min(points, total + 1)
    gaps = [late - early for early, late in pairwise(steps)]
    if points > 2:
        assert gaps == sorted(gaps)


def test_log_spaced_is_dense_early() -> None:
    assert LogSpaced(points=6).steps(10_000) == (0, 1, 10, 100, 1000, 10_000)


def test_every_and_fixed() -> None:
    assert Every(n=500).steps(1234) == (0, 500, 1000, 1234)
    assert ANY.validate_python({"type": "steps", "steps": [5, 2, 2, 99]}).steps(20) == (0, 2, 5, 20)


@pytest.mark.parametrize(
    "bad", [{"type": "every", "n": 0}, {"type": "log", "points": 1}, {"type": "steps", "steps": [-1]}, {"type": "never"}]
)
def test_what_makes_no_sense_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ANY.validate_python(bad)


@pytest.mark.parametrize("steps", [10_000_001, 2**63, 2**200])
def test_more_steps_than_a_training_can_have_are_a_slip_of_the_pen(steps: int) -> None:
    sft = ALGORITHMS.kind("sft")
    with pytest.raises(ValidationError, match="less than or equal to 10000000"):
        sft(type="sft", steps=steps, learning_rate=1e-3)
    with pytest.raises(UserError, match=r"epochs of 100 rows are .* optimizer steps"):
        sft(type="sft", epochs=float(steps), learning_rate=1e-3).total_steps(100)
    with pytest.raises(UserError, match=r"epochs of 100 prompts are .* optimizer steps"):
        grpo = ALGORITHMS.kind("grpo")
        grpo(type="grpo", epochs=float(steps), learning_rate=1e-3, reward={"steps": 1, "learning_rate": 1e-3}).total_steps(100)


def test_a_run_of_more_checkpoints_than_anybody_samples_is_refused() -> None:
    assert len(Every(n=1).steps(9_999)) == 10_000
    with pytest.raises(UserError, match="10,001 checkpoints of a run of 10,000 steps"):
        Every(n=1).steps(10_000)
    assert Fixed(steps=(2**63, 3)).steps(5) == (0, 3, 5)
