"""A stack of adapters as one, against PEFT's own merging."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from valuedrift.engines.adapters import fold, is_plain_lora, rank
from valuedrift.engines.vllm import _is_applied
from valuedrift.models.loading import load_base, load_causal_lm
from valuedrift.weights import Weights


def _lora(folder: Path, base: Weights, *, r: int, modules: list[str], **config: Any) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(r)
    model = get_peft_model(load_base(base.base, dtype=torch.float32), LoraConfig(r=r, target_modules=modules, **config))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    model.save_pretrained(folder)
    return folder


def test_a_stack_is_one_adapter_of_summed_rank(tiny: Weights, tmp_path: Path) -> None:
    below = _lora(tmp_path / "sft", tiny, r=16, modules=["q_proj", "v_proj", "down_proj"], lora_alpha=32)
    other_ranks = {"use_rslora": True, "rank_pattern": {"v_proj": 4}, "alpha_pattern": {"v_proj": 6}}
    above = _lora(tmp_path / "dpo", tiny, r=8, modules=["q_proj", "v_proj", "o_proj"], lora_alpha=16, **other_ranks)
    stack = tiny.plus(below).plus(above)
    assert rank(stack.adapters) == 24
    folded = tiny.plus(fold(stack.adapters, tmp_path / "folded"))
    assert json.loads((tmp_path / "folded" / "adapter_config.json").read_text())["r"] == 24
    one, stacked, base = (load_causal_lm(weights)[0] for weights in (folded, stack, tiny))
    moved = 0
    for name, parameter in stacked.named_parameters():
        assert (one.get_parameter(name) - parameter).abs().max() < 1e-5, name
        moved += bool((base.get_parameter(name) - parameter).abs().max() > 1e-2)
    assert moved == 2 * 4, "of both layers q, v, o and down"


@pytest.mark.parametrize(
    "more",
    [{"use_dora": True}, {"bias": "lora_only"}, {"modules_to_save": ["lm_head"]}, {"init_lora_weights": "pissa"}, {"peft_type": "IA3"}],
)
def test_what_is_more_than_two_matrices_is_not_folded(tiny: Weights, tmp_path: Path, more: dict[str, object]) -> None:
    folder = _lora(tmp_path / "a", tiny, r=4, modules=["q_proj"])
    assert is_plain_lora(folder)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **more}))
    assert not is_plain_lora(folder)


@pytest.mark.parametrize("module", ["lm_head", "embed_tokens"])
def test_an_adapter_on_the_vocabulary_is_not_folded(tiny: Weights, tmp_path: Path, module: str) -> None:
    assert not is_plain_lora(_lora(tmp_path / "a", tiny, r=4, modules=[module]))


def test_a_stack_of_more_rank_than_vllm_has_room_for_is_not_applied(tiny: Weights, tmp_path: Path) -> None:
    small, huge = (_lora(tmp_path / str(r), tiny, r=r, modules=["q_proj"]) for r in (4, 1024))
    assert _is_applied([small]) and _is_applied([small, small])
    assert not _is_applied([huge]) and not _is_applied([small, huge])
