"""One engine that goes from checkpoint to checkpoint answers and scores, bit by bit, as a fresh one does at each."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import SHAPE, lora, save_tiny, trained

from valuedrift.engines.base import EngineSettings
from valuedrift.engines.kept import KeptEngine
from valuedrift.engines.transformers import TransformersEngine
from valuedrift.errors import UserError
from valuedrift.models.checking import check_weights
from valuedrift.models.held import FreshNeededError, HeldModel, checksum, merged_tensors
from valuedrift.models.loading import load_causal_lm
from valuedrift.sampling import Prompt, Response, Sampling
from valuedrift.weight_files import ADAPTER
from valuedrift.weights import Weights

PROMPTS = [Prompt("a", "Should abortion be legal?"), Prompt("b", "Why?")]
SAMPLING = Sampling(n=2, max_new_tokens=12)
SETTINGS = EngineSettings(dtype="bfloat16", device="cpu")


@pytest.fixture(scope="module")
def stacks(tiny: Weights, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Weights]:
    """Checkpoints of one architecture, by what they are."""
    folder = tmp_path_factory.mktemp("stacks")
    first = lora(folder / "first", tiny.base, 1)
    second = lora(folder / "second", tiny.base, 2, r=2, use_rslora=True, target_modules=["q_proj", "v_proj"])
    rounded = lora(folder / "rounded", tiny.base, 3, dtype=torch.bfloat16)
    full = trained(folder / "full", tiny.base, 4)
    other = trained(folder / "other", tiny.base, 5)
    return {
        "base": tiny,
        "first": tiny.plus(first),
        "second": tiny.plus(second),
        "rounded": tiny.plus(rounded),
        "stack": tiny.plus(first).plus(second),
        "full": full,
        "other": other,
        "on full": full.plus(second),
    }


def answers(engine: TransformersEngine) -> tuple[list[Response], np.ndarray]:
    return engine.sample(PROMPTS, SAMPLING), engine.score(["Is it right?", "Why?"], ["yes", "no indeed"])


def fresh(weights: Weights) -> tuple[list[Response], np.ndarray]:
    with TransformersEngine(weights, weights.fingerprint(), SETTINGS) as engine:
        return answers(engine)


@pytest.mark.parametrize(
    "way",
    [
        ("base", "first", "second", "base"),
        ("first", "stack", "rounded", "first"),
        ("full", "other", "full"),
        ("first", "full", "first", "on full", "stack"),
    ],
    ids=" → ".join,
)
def test_a_swept_engine_answers_as_fresh_ones(stacks: dict[str, Weights], way: tuple[str, ...]) -> None:
    begun = stacks[way[0]]
    with TransformersEngine(begun, begun.fingerprint(), SETTINGS) as engine:
        for name in way:
            engine.load(stacks[name], stacks[name].fingerprint())
            drawn, scores = answers(engine)
            expected_drawn, expected_scores = fresh(stacks[name])
            assert drawn == expected_drawn
            assert np.array_equal(scores, expected_scores)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_every_tensor_is_the_loaded_one(stacks: dict[str, Weights], dtype: str) -> None:
    held = HeldModel(stacks["first"], dtype=dtype, device="cpu")
    for name in ("first", "stack", "on full", "rounded", "base", "other"):
        held.put(stacks[name])
        loaded, _ = load_causal_lm(stacks[name], dtype=dtype)
        for mine, other in (
            (held.model.state_dict(), loaded.state_dict()),
            (dict(held.model.named_buffers()), dict(loaded.named_buffers())),
        ):
            assert mine.keys() == other.keys()
            assert [key for key in mine if mine[key].dtype != other[key].dtype or not torch.equal(mine[key], other[key])] == []
        assert held.model.generation_config.to_dict() == loaded.generation_config.to_dict()
        assert {**held.model.config.to_dict(), "dtype": None} == {
            **loaded.config.to_dict(),
            "dtype": None,
        }  # the file's, which nothing reads


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_adapters_change_is_handed_over_as_the_loaded_model_has_it(stacks: dict[str, Weights], dtype: torch.dtype) -> None:
    for name in ("first", "stack", "rounded", "on full"):
        weights = stacks[name]
        skeleton = check_weights(Weights(base=weights.base), dtype=dtype)
        changed = merged_tensors(skeleton, weights, dtype=dtype)
        loaded, base = (load_causal_lm(each, dtype=dtype)[0].state_dict() for each in (weights, Weights(base=weights.base)))
        different = {key for key in loaded if not torch.equal(loaded[key], base[key])}
        assert different, "the adapters change nothing: nothing is compared"
        assert different <= changed.keys()
        assert [key for key, tensor in changed.items() if tensor.dtype != dtype or not torch.equal(tensor, loaded[key])] == []


def test_a_broken_checkpoint_leaves_the_engine_of_use(stacks: dict[str, Weights], tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(stacks["first"].adapters[0], cut)
    (cut / ADAPTER).write_bytes((cut / ADAPTER).read_bytes()[:-100])
    foreign = lora(tmp_path / "foreign", save_tiny_of_another_width(tmp_path, stacks["base"]).base, 1)
    without = tmp_path / "without"
    shutil.copytree(stacks["full"].base, without)
    (without / "model.safetensors").write_bytes(b"")
    with TransformersEngine(stacks["base"], "f", SETTINGS) as engine:
        for broken in (stacks["base"].plus(cut), stacks["base"].plus(foreign), Weights(base=without), Weights(base=tmp_path / "nowhere")):
            with pytest.raises(UserError):
                engine.load(broken, "f")
            engine.load(stacks["stack"], stacks["stack"].fingerprint())
            assert answers(engine)[0] == fresh(stacks["stack"])[0]


def save_tiny_of_another_width(folder: Path, base: Weights) -> Weights:
    from transformers import LlamaConfig

    return save_tiny(folder / "wider", base.base, LlamaConfig(**{**SHAPE, "hidden_size": 96, "vocab_size": 49152}))


@pytest.mark.parametrize("stained", ["model.norm.weight", "model.layers.1.mlp.up_proj.weight", "model.rotary_emb.inv_freq"])
def test_a_number_that_went_wrong_in_memory_is_found(stacks: dict[str, Weights], stained: str) -> None:
    held = HeldModel(stacks["first"], dtype="bfloat16", device="cpu")
    tensor = {**held.model.state_dict(), **dict(held.model.named_buffers())}[stained]
    with torch.no_grad():
        tensor.view(-1)[0] += 1
    with pytest.raises(FreshNeededError, match=stained):
        held.put(stacks["second"])


def test_another_architecture_asks_for_a_fresh_engine(stacks: dict[str, Weights], tmp_path: Path) -> None:
    held = HeldModel(stacks["base"], dtype="bfloat16", device="cpu")
    with pytest.raises(FreshNeededError, match=r"another architecture.*hidden_size"):
        held.put(save_tiny_of_another_width(tmp_path, stacks["base"]))


@pytest.mark.parametrize(
    "config",
    [{"use_dora": True}, {"target_modules": ["embed_tokens"]}, {"modules_to_save": ["norm"]}, {"target_modules": ["lm_head"]}],
    ids=lambda config: "-".join(map(str, *config.items())),
)
def test_adapters_that_are_more_than_plain_lora_are_loaded_afresh(
    stacks: dict[str, Weights], tmp_path: Path, config: dict[str, object]
) -> None:
    weights = stacks["base"].plus(lora(tmp_path / "odd", stacks["base"].base, 1, **config))
    held = HeldModel(stacks["base"], dtype="bfloat16", device="cpu")
    try:
        held.put(weights)
    except FreshNeededError:
        held = HeldModel(weights, dtype="bfloat16", device="cpu")
    loaded, _ = load_causal_lm(weights, dtype="bfloat16")
    mine, other = held.model.state_dict(), loaded.state_dict()
    assert [key for key in mine if not torch.equal(mine[key], other[key])] == []


def test_a_process_keeps_one_engine_and_makes_a_fresh_one_on_doubt(stacks: dict[str, Weights], caplog: pytest.LogCaptureFixture) -> None:
    kept = KeptEngine()

    def drawn(name: str) -> tuple[object, list[Response]]:
        with kept.at("transformers", stacks[name], stacks[name].fingerprint(), SETTINGS) as engine:
            return engine, engine.sample(PROMPTS, SAMPLING)

    engine, first = drawn("first")
    assert first == fresh(stacks["first"])[0]
    same, second = drawn("second")
    assert same is engine and second == fresh(stacks["second"])[0]
    with torch.no_grad():
        engine._model.model.norm.weight[0] += 1  # type: ignore[attr-defined]  # a fault that nothing of ours can make
    with caplog.at_level(logging.WARNING):
        another, third = drawn("stack")
    assert another is not engine and third == fresh(stacks["stack"])[0]
    assert "a fresh engine" in caplog.text and "model.norm.weight" in caplog.text
    kept.let_go()
    assert drawn("stack")[0] is not another


def test_a_checksum_tells_moved_and_changed_numbers() -> None:
    torch.manual_seed(0)
    for shape in ((6, 8), (5, 3), (7,), (2, 3, 4)):
        for dtype in (torch.float32, torch.bfloat16):
            tensor = torch.randn(shape).to(dtype)
            changed = tensor.clone()
            changed.view(-1)[-1] += 0.01 * changed.abs().max()
            sums = {checksum(each) for each in (tensor, changed, tensor.flip(0), tensor.double(), tensor.reshape(-1), -tensor)}
            assert len(sums) == 6 - (len(shape) == 1)
            assert checksum(tensor.clone()) == checksum(tensor)
