"""Logits that are not numbers: sampling and scoring stop and name the prompt, instead of giving empty answers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from valuedrift.engines.base import EngineSettings
from valuedrift.engines.decoding.draws import drawable
from valuedrift.engines.transformers import TransformersEngine
from valuedrift.errors import DataError
from valuedrift.sampling import Prompt, Sampling
from valuedrift.weights import Weights

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))  # untied
from untied import Tensors, change_tensors, save_untied

SAMPLING = Sampling(n=3, max_new_tokens=1, temperature=1.0, top_p=1.0)
PROMPTS = [Prompt(prompt_id=name, text=text) for name, text in (("zoos", "a"), ("cars", "b"), ("overflowing", "quiz"), ("cats", "c"))]


def overflowing(folder: Path, ending: str) -> Path:
    """A model whose weights are finite and whose logits are not, after prompts of one last letter; of every letter for an empty one.

    The first number of a state is the letter's alone, and the head multiplies it by almost the greatest float32.
    """
    from transformers import AutoTokenizer

    save_untied(folder)
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}", encoding="utf-8")
    letter = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(ending) if ending else slice(None)

    def change(tensors: Tensors) -> Tensors:
        tensors["model.embed_tokens.weight"][:, 0] = 0.0
        tensors["model.embed_tokens.weight"][letter, 0] = 1.0
        tensors["lm_head.weight"][:, 0] = 0.0
        tensors["lm_head.weight"][5, 0] = 3e38
        for name, tensor in tensors.items():
            if "o_proj" in name or "down_proj" in name:
                tensor[0] = 0.0
        return tensors

    return change_tensors(folder, change)


def engine_of(folder: Path) -> TransformersEngine:
    return TransformersEngine(Weights(base=folder), "fingerprint", EngineSettings(dtype="float32", device="cpu"))


def test_sampling_names_the_prompt_and_the_others_are_answered(tmp_path: Path) -> None:
    with engine_of(overflowing(tmp_path / "model", "z")) as engine:
        answers = engine.sample([prompt for prompt in PROMPTS if prompt.prompt_id != "overflowing"], SAMPLING)
        assert len(answers) == 9
        for temperature in (0.0, 1.0):
            with pytest.raises(DataError, match="logits are not numbers") as raised:
                engine.sample(PROMPTS, SAMPLING.model_copy(update={"temperature": temperature}))
            assert raised.value.where == "prompt overflowing"


def test_scoring_names_the_prompt(tmp_path: Path) -> None:
    with engine_of(overflowing(tmp_path / "model", "z")) as engine:
        assert (engine.score(["a", "b"], ["x", "y"]) < 0).all()
        with pytest.raises(DataError, match="logits are not numbers") as raised:
            engine.score([prompt.text for prompt in PROMPTS], ["x", "y"])
        assert raised.value.where == "prompt 'quiz'"


def test_a_model_without_any_numbers_is_refused_as_it_is_loaded(tmp_path: Path) -> None:
    folder = overflowing(tmp_path / "model", "")
    with pytest.raises(DataError, match="logits are not numbers") as raised:
        engine_of(folder)
    assert raised.value.where == str(folder)


def test_a_token_ruled_out_is_no_fault() -> None:
    infinite = float("inf")
    logits = torch.tensor([[0.0, -infinite], [float("nan"), 0.0], [infinite, 0.0], [-infinite, -infinite]])
    assert drawable(logits).tolist() == [True, False, False, False]
