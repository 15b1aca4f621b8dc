"""Loading: adapters merged in order, by hand-made sums; tokenizers ready for batches; clear refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from valuedrift.errors import UserError
from valuedrift.models.loading import load_causal_lm
from valuedrift.models.resolve import resolve_model
from valuedrift.weights import Weights


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(resolve_model("embedded:smollm2-135m-instruct")).save_pretrained(folder)
    return folder


def _adapter(base: Path, folder: Path, *, rank: int, alpha: int, seed: int) -> Path:
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        LoraConfig(r=rank, lora_alpha=alpha, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM"),
    )
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(0, 0.3)
    model.save_pretrained(folder)
    return folder


def _delta(adapter: Path, module: str) -> torch.Tensor:
    """What an adapter adds to a module's weight, from its file alone."""
    config = json.loads((adapter / "adapter_config.json").read_text())
    tensors = load_file(adapter / "adapter_model.safetensors")
    prefix = f"base_model.model.{module}"
    return config["lora_alpha"] / config["r"] * tensors[f"{prefix}.lora_B.weight"].double() @ tensors[f"{prefix}.lora_A.weight"].double()


def test_a_stack_of_adapters_is_the_sum_of_its_deltas(base: Path, tmp_path: Path) -> None:
    stack = (_adapter(base, tmp_path / "sft", rank=4, alpha=8, seed=1), _adapter(base, tmp_path / "dpo", rank=2, alpha=16, seed=2))
    plain, _ = load_causal_lm(Weights(base=base))
    model, tokenizer = load_causal_lm(Weights(base=base, adapters=stack))
    names = dict(model.named_parameters())
    assert not [name for name in names if "lora" in name]
    for name, before in plain.named_parameters():
        module = name.removesuffix(".weight")
        expected = before.double()
        if module.endswith(("q_proj", "down_proj")):
            expected = expected + sum(_delta(adapter, module) for adapter in stack)
        torch.testing.assert_close(names[name].double(), expected, atol=1e-6, rtol=1e-5)
    assert not model.training
    assert tokenizer.padding_side == "left"


def test_adapters_are_merged_before_rounding(base: Path, tmp_path: Path) -> None:
    weights = Weights(base=base, adapters=(_adapter(base, tmp_path / "a", rank=4, alpha=8, seed=3),))
    exact, _ = load_causal_lm(weights, dtype="float32")
    rounded, _ = load_causal_lm(weights, dtype="bfloat16")
    for (name, want), have in zip(exact.named_parameters(), rounded.parameters(), strict=True):
        assert torch.equal(want.bfloat16(), have), name


def test_a_merged_model_takes_a_new_adapter_on_top(base: Path, tmp_path: Path) -> None:
    weights = Weights(base=base, adapters=(_adapter(base, tmp_path / "a", rank=4, alpha=8, seed=4),))
    model, _ = load_causal_lm(weights)
    ids = torch.tensor([[1, 5, 9]])
    before = model(ids).logits
    trained = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    torch.testing.assert_close(trained(ids).logits, before)  # a fresh adapter adds nothing
    assert {name.split(".")[-2] for name, p in trained.named_parameters() if p.requires_grad} == {"default"}


def test_a_tokenizer_without_padding_pads_with_its_end_token(base: Path, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(base, tmp_path / "unpadded")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["pad_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    _, tokenizer = load_causal_lm(Weights(base=folder))
    assert tokenizer.pad_token == tokenizer.eos_token == "<|im_end|>"


def test_what_cannot_be_loaded_says_why(base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such dtype"):
        load_causal_lm(Weights(base=base), dtype="double")
    with pytest.raises(UserError, match="no such model folder"):
        load_causal_lm(Weights(base=base, adapters=(tmp_path / "gone",)))
    with pytest.raises(UserError, match="not loadable as a causal language model"):
        load_causal_lm(Weights(base=_with_config(base, tmp_path / "odd", {"model_type": "no-such-type", "architectures": []})))
    wide = LlamaConfig(
        vocab_size=49152, hidden_size=64, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
    )
    AutoModelForCausalLM.from_config(wide).save_pretrained(tmp_path / "wide")
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "wide")
    adapter = _adapter(tmp_path / "wide", tmp_path / "misfit", rank=2, alpha=2, seed=5)
    with pytest.raises(UserError, match="adapter does not fit its base"):
        load_causal_lm(Weights(base=base, adapters=(adapter,)))


def _with_config(base: Path, folder: Path, change: dict[str, object]) -> Path:
    import shutil

    shutil.copytree(base, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    return folder
