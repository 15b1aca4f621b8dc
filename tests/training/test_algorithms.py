"""The algorithms as a study writes them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from valuedrift.training.dpo import DPO
from valuedrift.training.registry import ALGORITHMS, Algorithm
from valuedrift.training.sft import SFT

ANY: TypeAdapter[Algorithm] = TypeAdapter(Algorithm)


@pytest.mark.parametrize("kind", ALGORITHMS.types())
def test_the_type_chooses_the_algorithm(kind: str) -> None:
    online = "reward" in ALGORITHMS.kind(kind).model_fields
    given_fields = {"type": kind, "steps": 3} | ({"reward": {"steps": 2}} if online else {})
    algorithm = ANY.validate_python(given_fields)
    assert (algorithm.type, type(algorithm)) == (kind, ALGORITHMS.kind(kind))
    assert ANY.validate_json(algorithm.model_dump_json()) == algorithm


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "sft"},
        {"type": "sft", "steps": 3, "epochs": 1.0},
        {"type": "sft", "steps": 3, "beta": 0.1},
        {"type": "kpo", "steps": 3},
        {"type": "ppo", "steps": 3},
        {"type": "ppo", "steps": 3, "batch_size": 6, "mini_batches": 4, "reward": {"steps": 1}},
    ],
)
def test_faults_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ANY.validate_python(fields)


def test_every_field_says_what_it_is() -> None:
    for _, model in ALGORITHMS.packaged():
        assert all(field.description for field in model.model_fields.values())


@given(st.floats(0.01, 20), st.integers(1, 5000), st.integers(1, 64))
def test_epochs_become_enough_steps_and_no_more(epochs: float, rows: int, batch: int) -> None:
    steps = SFT(epochs=epochs, batch_size=batch).total_steps(rows)
    assert steps * batch >= epochs * rows * (1 - 1e-12)
    assert steps == 1 or (steps - 1) * batch < epochs * rows


def test_steps_do_not_depend_on_the_data() -> None:
    assert DPO(steps=17).total_steps(3) == DPO(steps=17).total_steps(30_000) == 17


def test_planning_a_run_loads_no_torch() -> None:
    code = "import sys, valuedrift.training.job, valuedrift.training.schedule; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("kind", ["dpo", "ipo", "kto", "grpo", "ppo"])
def test_a_reference_in_half_the_memory_is_another_training_and_the_usual_one_is_known_as_before(kind: str) -> None:
    fields = {"type": kind, "steps": 3} | ({"reward": {"steps": 2}} if kind in ("grpo", "ppo") else {})
    usual, half = (ANY.validate_python({**fields, **more}) for more in ({}, {"reference_dtype": "bfloat16"}))
    assert "reference_dtype" not in usual.model_dump(mode="json")
    assert half.model_dump(mode="json") == {**usual.model_dump(mode="json"), "reference_dtype": "bfloat16"}
    assert half.weight_bytes() == usual.weight_bytes() - 2
    assert ANY.validate_json(half.model_dump_json()) == half
