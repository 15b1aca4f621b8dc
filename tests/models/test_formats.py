"""Models that are no folder of safetensors: an adapter is taken with its base; anything else is told, with the command that converts it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from valuedrift.errors import UserError
from valuedrift.models.loading import load_causal_lm
from valuedrift.models.resolve import resolve_model, resolve_weights
from valuedrift.weight_formats import told_format
from valuedrift.weights import Weights, folder_fingerprint


def _adapter(base: Path, folder: Path, named: object, *, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base),
        LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM"),
    )
    model.save_pretrained(folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": named}))
    return folder


def test_an_adapter_is_taken_with_what_it_lies_on(untied: Path, tmp_path: Path) -> None:
    lower = _adapter(untied, tmp_path / "lower", str(untied))
    upper = _adapter(untied, tmp_path / "upper", "lower", seed=1)
    assert resolve_weights(str(lower)) == Weights(base=untied, adapters=(lower,))
    found = resolve_weights(str(upper))
    assert found == Weights(base=untied, adapters=(lower, upper))
    assert found.fingerprint() == Weights(base=untied, adapters=(lower, upper)).fingerprint()
    heads = [load_causal_lm(one)[0].model.layers[0].self_attn.q_proj.weight for one in (Weights(base=untied), found)]
    assert not torch.equal(*heads)
    assert resolve_weights(str(untied)) == Weights(base=untied)


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (None, "does not say what it lies on"),
        ("", "does not say what it lies on"),
        ("/gone/away/for ever", "the adapter's base is not there: /gone/away/for ever"),
        ("nobody/nothing-at-all", "model hf:nobody/nothing-at-all could not be fetched"),
        ("embedded:nothing", "no embedded model 'nothing'"),
        ("adapter", "an adapter that names itself as its base"),
    ],
)
def test_an_adapter_without_its_base_is_refused(untied: Path, tmp_path: Path, named: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve_weights(str(_adapter(untied, tmp_path / "adapter", named)))


def test_a_tokenizer_that_is_the_bases_is_not_in_an_adapters_fingerprint(untied: Path, tmp_path: Path) -> None:
    adapter = _adapter(untied, tmp_path / "adapter", str(untied))
    without = Weights(base=untied, adapters=(adapter,)).fingerprint()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(untied / name, adapter / name)
    assert Weights(base=untied, adapters=(adapter,)).fingerprint() == without
    (adapter / "chat_template.jinja").write_text("{{ messages }} {{ strftime_now('%d') }}")
    other = Weights(base=untied, adapters=(adapter,)).fingerprint()
    assert other != without
    base = Path(shutil.copytree(untied, tmp_path / "base"))
    shutil.copyfile(adapter / "chat_template.jinja", base / "chat_template.jinja")
    assert folder_fingerprint(adapter, base) == folder_fingerprint(_adapter(untied, tmp_path / "bare", str(untied)), untied)


def _written(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


@pytest.mark.parametrize(
    ("names", "given", "what", "fix"),
    [
        (("m.Q4_1.gguf",), "m.Q4_1.gguf", "a GGUF file", "gguf_file='m.Q4_1.gguf'"),
        (("m.Q4_1.gguf", "README.md"), "", "a GGUF file", "GgufConfig(dequantize=True)"),
        (("config.json", "pytorch_model.bin", "optimizer.pt"), "", "pickled weights of transformers", "M.from_pretrained(p).save_pretrained"),
        (("pytorch_model.bin",), "pytorch_model.bin", "pickled weights of transformers", "M.from_pretrained(p)"),
        (("pytorch_model-00001-of-00002.bin",), "", "pickled weights of transformers", "M.from_pretrained(p)"),
        (("adapter_config.json", "adapter_model.bin"), "", "a pickled adapter", "weights_only=True"),
        (("pytorch_model_fsdp_0/__0_0.distcp", "pytorch_model_fsdp_0/.metadata"), "", "shards of a training by FSDP", "accelerate merge-weights"),
        (("__0_0.distcp",), "", "shards of a training by FSDP", "accelerate merge-weights"),
        (("zero_to_fp32.py", "global_step9/zero_pp_rank_0_mp_rank_00_optim_states.pt"), "", "a checkpoint of DeepSpeed", "zero_to_fp32.py"),
        (("global_step9/mp_rank_00_model_states.pt",), "", "a checkpoint of DeepSpeed", "--safe_serialization"),
        (("consolidated.00.pth", "params.json"), "", "weights as Meta gives them", "convert_llama_weights_to_hf"),
        (("policy.pt",), "policy.pt", "pickled weights", "save_pretrained('NEW_FOLDER')"),
        (("model.pth",), "", "pickled weights", "the program that wrote model.pth"),
        (("tf_model.h5",), "", "weights of another framework", "safetensors"),
    ],
)  # fmt: skip
def test_what_is_no_safetensors_is_told_with_the_way_to_convert_it(
    tmp_path: Path, names: tuple[str, ...], given: str, what: str, fix: str
) -> None:
    path = _written(tmp_path / "model", *names) / given
    for take in (lambda: resolve_model(str(path)), lambda: resolve_weights(str(path)), lambda: Weights(base=path).fingerprint()):
        with pytest.raises(UserError) as told:
            take()
        assert told.value.what.startswith(what) and fix in str(told.value.fix) and told.value.where == str(path)
        assert told.value.exit_code == 2


def test_what_a_trainer_writes_beside_its_weights_is_no_format(tmp_path: Path) -> None:
    folder = _written(tmp_path / "model", "optimizer.pt", "rng_state.pth", "training_args.bin")
    with pytest.raises(UserError, match="model folder without safetensors weights"):
        resolve_model(str(folder))


def _run(fix: str, folder: Path) -> None:
    """A command as it is told, with another name for the new folder."""
    command = fix[fix.index("python ") :].replace("NEW_FOLDER", str(folder))
    subprocess.run(command.replace("python ", f"{sys.executable} ", 1), shell=True, check=True, capture_output=True)


@pytest.mark.parametrize("kind", ["model", "adapter"])
def test_the_told_command_converts(untied: Path, tmp_path: Path, kind: str) -> None:
    """What is told for pickles is run as it stands; the model that comes out is the one that went in."""
    if kind == "model":
        folder = Path(shutil.copytree(untied, tmp_path / "model"))
        torch.save(AutoModelForCausalLM.from_pretrained(untied).state_dict(), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    else:
        folder = _adapter(untied, tmp_path / "model", str(untied))
        from safetensors.torch import load_file

        torch.save(load_file(folder / "adapter_model.safetensors"), folder / "adapter_model.bin")
        before = (folder / "adapter_model.safetensors").rename(tmp_path / "kept")
    with pytest.raises(UserError) as told:
        resolve_weights(str(folder))
    _run(str(told.value.fix), tmp_path / "new")
    if kind == "model":
        again = [dict(load_causal_lm(Weights(base=one))[0].state_dict()) for one in (untied, tmp_path / "new")]
    else:
        again = [load_file(before), load_file(folder / "adapter_model.safetensors")]
        assert resolve_weights(str(folder)).adapters == (folder,)
    assert again[0].keys() == again[1].keys() and all(torch.equal(again[0][name], again[1][name]) for name in again[0])


@pytest.mark.parametrize(
    ("config", "loader"),
    [
        ('{"architectures": ["BertModel"]}', "AutoModel "),
        ('{"architectures": ["RobertaForMaskedLM"]}', "AutoModel "),
        ('{"architectures": ["Qwen2ForCausalLM"]}', "AutoModelForCausalLM "),
        ('{"architectures": ["GPT2LMHeadModel"]}', "AutoModelForCausalLM "),
        ("{}", "AutoModelForCausalLM "),
        ("[]", "AutoModelForCausalLM "),
        ("{", "AutoModelForCausalLM "),
    ],
)
def test_pickled_weights_are_converted_as_what_their_configuration_says(tmp_path: Path, config: str, loader: str) -> None:
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "pytorch_model.bin").touch()
    told = told_format(tmp_path)
    assert told is not None and f"import {loader}as M" in told[1]
