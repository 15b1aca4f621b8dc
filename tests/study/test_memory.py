"""What a training holds in memory, as a plan tells it."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from valuedrift.errors import UserError
from valuedrift.study.memory import check_fits, hidden_size, memory
from valuedrift.study.runtime import Runtime
from valuedrift.training.registry import ALGORITHMS, Algorithm

ANY: TypeAdapter[Algorithm] = TypeAdapter(Algorithm)
GPU = {"gpu_gigabytes": 80.0}


def algorithm(kind: str, **fields: object) -> Algorithm:
    online = {"reward": {"steps": 1}} if "reward" in ALGORITHMS.kind(kind).model_fields else {}
    return ANY.validate_python({"type": kind, "steps": 1, "batch_size": 8, "max_length": 2048, **online, **fields})


def test_full_weights_of_eight_billion_take_sixteen_bytes_each_and_their_activations_sixty_gigabytes() -> None:
    held = memory(algorithm("sft"), 8.03e9, Runtime(micro_batch=4, **GPU))
    assert held.states == pytest.approx(128e9, rel=0.01)
    weights_in_bfloat16, logits = 2 * 8.03e9, 14 * 128_256 * 4 * 2048
    assert held.activations - weights_in_bfloat16 - logits == pytest.approx(81.9e9 - weights_in_bfloat16, rel=0.05)  # counted
    assert hidden_size(8.03e9) == pytest.approx(4096, rel=0.01)


@pytest.mark.parametrize("kind", ALGORITHMS.types())
def test_the_parts_are_all_that_an_algorithm_holds(kind: str) -> None:
    for fields in ({}, {"lora": {"r": 16}}):
        one = algorithm(kind, dtype="float32", **fields)
        assert memory(one, 1e8, Runtime()).states == one.weight_bytes() * 1e8


def test_shares_are_of_all_states_and_of_the_reference() -> None:
    alone, shared = (memory(algorithm("dpo"), 1e9, Runtime(processes=4, shard=shard)) for shard in (False, True))
    assert shared.states == alone.states / 4
    assert shared.other_models == alone.other_models / 4 == 1e9
    assert memory(algorithm("dpo"), 1e9, Runtime(processes=4)).activations < memory(algorithm("dpo"), 1e9, Runtime()).activations


def test_layers_that_are_computed_again_keep_an_eighth_and_small_parts_keep_less() -> None:
    full = memory(algorithm("sft", dtype="float32"), 1e8, Runtime()).activations
    assert memory(algorithm("sft", dtype="float32"), 1e8, Runtime(gradient_checkpointing=True)).activations < full
    assert memory(algorithm("sft", dtype="float32"), 1e8, Runtime(micro_batch=2)).activations == pytest.approx(full / 4)


def test_what_cannot_fit_the_gpu_that_is_named_is_refused_with_what_would() -> None:
    sft = algorithm("sft")
    check_fits("run", sft, 8e9, Runtime())
    check_fits("run", sft, None, Runtime(**GPU))
    check_fits("run", sft, 8e9, Runtime(processes=2, shard=True, **GPU))
    check_fits("run", algorithm("sft", lora={"r": 16}), 8e9, Runtime(**GPU))
    with pytest.raises(UserError, match="128 GB before it computes anything, and a GPU has 80 GB") as caught:
        check_fits("run", sft, 8e9, Runtime(processes=2, **GPU))
    assert caught.value.where == "run" and "shard: true" in str(caught.value.fix)
    assert "moments 64 GB" in caught.value.what
