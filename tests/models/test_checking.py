"""Weights that are not the model's are refused before they are used, by every loader, with the tensors' names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, BertConfig, BertForMaskedLM, BertModel
from untied import Damaged, Tensors, change_tensors, save_untied

from valuedrift.errors import DataError, UserError
from valuedrift.models.checking import check_model, check_weights
from valuedrift.models.loading import check_files, load_causal_lm
from valuedrift.models.resolve import resolve_model
from valuedrift.tokenizer_files import tokenizer_files
from valuedrift.training.job import TrainJob
from valuedrift.weights import Weights

Load = Callable[[Path], object]


def _transformers(folder: Path) -> object:
    return load_causal_lm(Weights(base=folder))


def _before_vllm(folder: Path) -> object:
    return check_weights(Weights(base=folder), dtype=torch.float32)


def _training(folder: Path) -> object:
    """A job that is refused for its weights before its dataset is looked for, and leaves no folder; with good weights for its dataset."""
    fields = {
        "weights": Weights(base=folder),
        "algorithm": {"type": "sft", "steps": 1},
        "schedule": {"type": "steps", "steps": [1]},
        "device": "cpu",
    }
    job = TrainJob.model_validate(fields | {"dataset": folder / "absent.jsonl", "out": folder / "run"})
    with pytest.raises(DataError) as raised:
        job.run(lambda _: None)
    assert not job.out.exists()
    if raised.value.where == str(job.dataset):
        return None
    raise raised.value


LOADERS = pytest.mark.parametrize("load", [_transformers, _before_vllm, _training], ids=["transformers", "vllm", "training"])


def _without(*parts: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if not any(part in name for part in parts)}


def _prefixed(tensors: Tensors) -> Tensors:
    return {f"module.{name}": tensor for name, tensor in tensors.items()}


def _one_layer_more(tensors: Tensors) -> Tensors:
    return tensors | {name.replace("layers.1.", "layers.2."): tensor.clone() for name, tensor in tensors.items() if "layers.1." in name}


def _broken_number(value: float) -> Callable[[Tensors], Tensors]:
    def change(tensors: Tensors) -> Tensors:
        tensors["model.layers.1.mlp.up_proj.weight"][3, 5] = value
        return tensors

    return change


FAULTS = {
    "head": (_without("lm_head"), r"1 tensor \(lm_head\.weight\) missing"),
    "layer": (_without("layers.1."), r"9 tensors \(model\.layers\.1\.input_layernorm\.weight, .*…\) missing"),
    "prefix": (_prefixed, r"21 tensors \(lm_head.*\) missing; 21 tensors \(module\.lm_head.*\) that the model has no place for"),
    "more layers": (_one_layer_more, r"9 tensors \(model\.layers\.2\.input_layernorm.*\) that the model has no place for"),
    "extra": (lambda tensors: tensors | {"score.weight": torch.ones(1, 16)}, r"1 tensor \(score\.weight\) that the model has no place for"),
    "shape": (
        lambda tensors: tensors | {"model.norm.weight": torch.ones(17)},
        r"1 tensor \(model\.norm\.weight \[17\] instead of \[16\]\) of another shape",
    ),
    "not a number": (_broken_number(float("nan")), r"1 tensor \(model\.layers\.1\.mlp\.up_proj\.weight\) with numbers that are not finite"),
    "infinite": (_broken_number(float("-inf")), r"1 tensor \(model\.layers\.1\.mlp\.up_proj\.weight\) with numbers that are not finite"),
}


@LOADERS
@pytest.mark.parametrize("fault", FAULTS)
def test_tensors_that_are_not_the_models_are_named_with_their_file(damaged: Damaged, load: Load, fault: str) -> None:
    change, message = FAULTS[fault]
    folder = damaged(change)
    with pytest.raises(DataError, match=message) as raised:
        load(folder)
    assert raised.value.where == str(folder / "model.safetensors") and raised.value.exit_code == 3


@LOADERS
def test_what_is_rightly_absent_or_left_over_loads_and_a_tied_head_has_no_numbers_of_its_own(
    damaged: Damaged, load: Load, tmp_path: Path
) -> None:
    folder = damaged()
    load(folder)
    change_tensors(folder, lambda tensors: tensors | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)})
    load(folder)
    tied = save_untied(tmp_path / "tied", tie_word_embeddings=True)
    change_tensors(tied, _without("lm_head"))
    load(tied)
    change_tensors(tied, lambda tensors: tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()})
    load(tied)
    change_tensors(tied, lambda tensors: tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"] + 1})
    with pytest.raises(DataError, match=r"1 tensor \(lm_head\.weight\) that the config ties to another"):
        load(tied)


def test_numbers_that_only_a_wider_dtype_holds_are_refused_in_the_narrower(damaged: Damaged) -> None:
    folder = damaged(_broken_number(1e30))
    load_causal_lm(Weights(base=folder), dtype="bfloat16")
    with pytest.raises(DataError, match=r"up_proj\.weight\) with numbers that are not finite in float16"):
        load_causal_lm(Weights(base=folder), dtype="float16")


@LOADERS
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.999])
def test_a_file_that_is_cut_off_is_one_message(damaged: Damaged, load: Load, kept: float) -> None:
    folder = damaged()
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    for refuse in (load, lambda folder: resolve_model(str(folder))):
        with pytest.raises(DataError, match="cut off, or not a safetensors file") as raised:
            refuse(folder)
        assert raised.value.where == str(path) and raised.value.exit_code == 3


def _sharded(folder: Path) -> Path:
    model = AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="10KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    return folder


@LOADERS
def test_shards_load_only_if_all_that_the_index_names_is_there(damaged: Damaged, load: Load) -> None:
    folder = _sharded(damaged())
    load(folder)
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    first = sorted(folder.glob("model-*.safetensors"))[0]
    aside = first.rename(first.with_suffix(".aside"))
    with pytest.raises(DataError, match="a file of weights is missing"):
        load(folder)
    aside.rename(first)
    index.write_text(json.dumps(content | {"weight_map": content["weight_map"] | {"model.no.such": first.name}}))
    with pytest.raises(DataError, match=r"1 tensor \(model\.no\.such\) not in the shards"):
        load(folder)
    index.write_text(json.dumps({"weight_map": content["weight_map"]}))
    with pytest.raises(DataError, match="an index of weights without `metadata`"):
        load(folder)
    index.write_text(json.dumps(content))
    name, last = max(content["weight_map"].items(), key=lambda item: item[1])
    kept = load_file(folder / first.name)
    save_file({**kept, name: torch.zeros_like(load_file(folder / last)[name])}, folder / first.name, metadata={"format": "pt"})
    with pytest.raises(DataError, match=rf"1 tensor \({name}\) also in another shard"):
        load(folder)
    save_file(kept, folder / first.name, metadata={"format": "pt"})
    index.write_text("[]")
    with pytest.raises(DataError, match="not an index of weights"):
        load(folder)
    index.write_text(json.dumps(content))
    save_file({"a": torch.ones(1)}, folder / "model.safetensors")
    with pytest.raises(DataError, match="two sets of weights"):
        load(folder)


def _adapter(base: Path, folder: Path) -> Path:
    torch.manual_seed(1)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=2, target_modules=["q_proj", "up_proj"], task_type="CAUSAL_LM")
    )
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(0, 0.3)
    model.save_pretrained(folder)
    return folder


@LOADERS
def test_a_leftover_adapter_beside_whole_weights_is_refused(damaged: Damaged, load: Load, tmp_path: Path) -> None:
    folder = damaged()
    for path in _adapter(folder, tmp_path / "adapter").glob("adapter_*"):
        shutil.copy(path, folder)
    for refuse in (load, lambda folder: resolve_model(str(folder)), lambda folder: check_model(folder, AutoModel, dtype=torch.float32)):
        with pytest.raises(DataError, match=r"remove adapter_config\.json and adapter_model\.safetensors"):
            refuse(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(DataError, match="merge the adapter into its base"):
        load(folder)


def _stack(base: Path, *adapters: Path) -> list[Callable[[], object]]:
    weights = Weights(base=base, adapters=adapters)
    return [lambda: load_causal_lm(weights), lambda: check_weights(weights, dtype=torch.float32)]


def test_the_tokenizer_that_an_adapter_carries_is_read_with_it(untied: Path, tmp_path: Path) -> None:
    adapter = _adapter(untied, tmp_path / "adapter")
    plain = Weights(base=untied, adapters=(adapter,))
    before = plain.fingerprint()
    for name in tokenizer_files(untied):
        shutil.copy(untied / name, adapter)
    assert (plain.tokenizer, plain.fingerprint()) == (untied, before)
    tokenizer = AutoTokenizer.from_pretrained(untied)
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    tokenizer.save_pretrained(adapter)
    assert plain.tokenizer == adapter and plain.fingerprint() != before
    assert load_causal_lm(plain)[1].chat_template == tokenizer.chat_template
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(adapter)
    for refuse in (load_causal_lm, check_files):
        with pytest.raises(UserError, match="the adapter's tokenizer has 262 tokens, and the model knows 261"):
            refuse(plain)


def test_adapters_are_checked_as_models_are(untied: Path, tmp_path: Path) -> None:
    whole = _adapter(untied, tmp_path / "whole")
    for load in _stack(untied, whole, whole):
        load()
    key = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"
    nan = torch.full((2, 16), float("nan"))
    faults: list[tuple[Callable[[Tensors], Tensors], str]] = [
        (_without("layers.1.self_attn"), r"2 tensors \(.*layers\.1\.self_attn\.q_proj\.lora_A.*\) missing"),
        (
            lambda tensors: tensors | {key.replace("q_proj", "k_proj"): tensors[key].clone()},
            r"1 tensor \(.*k_proj.*\) that the model has no place",
        ),
        (lambda tensors: tensors | {key: torch.ones(2, 17)}, r"1 tensor \(.*layers\.1\.self_attn\.q_proj\.lora_A.*\) of another shape"),
        (lambda tensors: tensors | {key: nan}, rf"1 tensor \({key}\) with numbers that are not finite"),
    ]
    for number, (change, message) in enumerate(faults):
        adapter = Path(shutil.copytree(whole, tmp_path / f"adapter-{number}"))
        change_tensors(adapter, change, "adapter_model.safetensors")
        for load in _stack(untied, whole, adapter):
            with pytest.raises(DataError, match=message) as raised:
                load()
            assert raised.value.where == str(adapter / "adapter_model.safetensors")
    path = whole / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    for load in _stack(untied, whole):
        with pytest.raises(DataError, match="cut off"):
            load()


def test_an_encoder_may_lack_its_pooler_and_have_another_tasks_head_but_no_layer(untied: Path, tmp_path: Path) -> None:
    config = BertConfig(vocab_size=300, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2)
    folder = tmp_path / "encoder"
    BertForMaskedLM(config).save_pretrained(folder)
    for path in untied.glob("tokenizer*"):
        shutil.copy(path, folder)
    check_model(folder, AutoModel, dtype=torch.float32)
    change_tensors(folder, _without("bert.encoder.layer.1."))
    with pytest.raises(DataError, match=r"16 tensors \(encoder\.layer\.1\..*\) missing"):
        check_model(folder, AutoModel, dtype=torch.float32)
    BertModel(config).save_pretrained(folder)
    check_model(folder, AutoModel, dtype=torch.float32)
    change_tensors(folder, lambda t: t | {n.replace("layer.1.", "layer.2."): v.clone() for n, v in t.items() if "layer.1." in n})
    with pytest.raises(DataError, match=r"16 tensors \(encoder\.layer\.2\..*\) that the model has no place for"):
        check_model(folder, AutoModel, dtype=torch.float32)


def test_what_is_no_language_model_is_told_as_such(untied: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(untied, tmp_path / "odd"))
    (folder / "config.json").write_text(json.dumps({"model_type": "no-such-type"}))
    for load in _stack(folder):
        with pytest.raises(UserError, match="not loadable"):
            load()


def test_weights_as_whole_numbers_without_a_word_of_quantisation_are_refused(tmp_path: Path) -> None:
    folder = save_untied(tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = (tensors["lm_head.weight"] * 100).to(torch.int8)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"lm_head\.weight.* as whole numbers"):
        check_weights(Weights(base=folder), dtype=torch.float32, numbers=False)
