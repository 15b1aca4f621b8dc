"""Training over several processes, as a study asks for it."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from valuedrift.errors import UserError
from valuedrift.study.runtime import Runtime
from valuedrift.training.registry import Algorithm

ANY: TypeAdapter[Algorithm] = TypeAdapter(Algorithm)
REWARD = {"reward": {"steps": 1, "batch_size": 6}}


def test_one_process_needs_no_launcher_and_several_have_torchrun() -> None:
    assert Runtime().training_command() == Runtime(processes=1).training_command() == ()
    assert Runtime(processes=4).training_command()[-1] == "--nproc-per-node=4"
    launcher = ("accelerate", "launch", "--num_processes=4")
    assert Runtime(processes=4, launcher=launcher).training_command() == launcher


def test_a_launcher_that_does_not_say_how_many_it_starts_is_refused() -> None:
    with pytest.raises(ValidationError, match="how many processes the launcher starts"):
        Runtime(launcher=("accelerate", "launch"))


def test_one_process_has_nobody_to_share_with() -> None:
    with pytest.raises(ValidationError, match="nobody to share a model with"):
        Runtime(shard=True)
    assert Runtime(shard=True, processes=2).shard


def test_a_model_in_shares_draws_no_answers() -> None:
    grpo = ANY.validate_python({"type": "grpo", "steps": 1, "batch_size": 8, "reward": {"steps": 1}})
    with pytest.raises(UserError, match=r"runtime.shard"):
        grpo.check_processes(2, sharded=True)


@pytest.mark.parametrize(
    ("algorithm", "processes", "where"),
    [
        ({"type": "sft", "steps": 1, "batch_size": 6}, 4, "sft: batch_size"),
        ({"type": "grpo", "steps": 1, "batch_size": 8, **REWARD}, 4, "grpo: reward.batch_size"),
        ({"type": "ppo", "steps": 1, "batch_size": 8, **REWARD}, 2, "runtime.processes"),
    ],
)
def test_batches_that_cannot_be_shared_out_evenly_are_refused(algorithm: dict[str, object], processes: int, where: str) -> None:
    chosen = ANY.validate_python(algorithm)
    chosen.check_processes(1)
    with pytest.raises(UserError) as caught:
        chosen.check_processes(processes)
    assert caught.value.where == where
    assert caught.value.fix
