"""The transformers engine: the real embedded model against transformers' own generate, and what it says when asked wrongly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from valuedrift.engines.base import EngineSettings
from valuedrift.engines.prompting import prompt_tokens
from valuedrift.engines.registry import engine_identity, make_engine
from valuedrift.engines.transformers import TransformersEngine, TransformersEngineConfig
from valuedrift.errors import UserError
from valuedrift.models.loading import load_causal_lm
from valuedrift.sampling import Prompt, Sampling
from valuedrift.weights import Weights

QUESTIONS = [
    "Should abortion be legal in all cases?",
    "Why?",
    "Do rich countries have a duty to take in people who flee from war, even when many of their own citizens are against it?",
    "Is it right to raise taxes on the rich?",
]
PROMPTS = [Prompt(f"p{index}", text) for index, text in enumerate(QUESTIONS)]


def _engine(weights: Weights, **settings: object) -> TransformersEngine:
    return TransformersEngine(weights, "fingerprint", EngineSettings(device="cpu", **settings))  # type: ignore[arg-type]  # by name


@pytest.mark.slow
def test_greedy_answers_are_those_of_generate(smollm: Weights) -> None:
    answers = _engine(smollm, dtype="float32").sample(PROMPTS, Sampling(n=1, temperature=0.0, max_new_tokens=16))
    model, tokenizer = load_causal_lm(smollm, dtype="float32")
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        ids = torch.tensor([prompt_tokens(tokenizer, prompt.text)])
        generated = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=16)[0, ids.shape[1] :]
        assert answer.response == tokenizer.decode(generated, skip_special_tokens=True)


@pytest.mark.slow
def test_batches_and_order_change_no_answer_of_the_real_model(smollm: Weights) -> None:
    sampling = Sampling(n=2, max_new_tokens=24)
    whole = _engine(smollm).sample(PROMPTS, sampling)
    narrow = _engine(smollm, max_rows=3).sample(PROMPTS[::-1], sampling)
    alone = _engine(smollm, max_rows=1).sample(PROMPTS[1:2], sampling)
    assert [(each.prompt_id, each.sample_idx) for each in whole] == [(f"p{i}", j) for i in range(4) for j in range(2)]
    assert sorted(narrow, key=lambda each: (each.prompt_id, each.sample_idx)) == whole
    assert alone == whole[2:4]
    assert len({each.response for each in whole}) == 8


def test_answers_end_or_are_cut(tiny: Weights) -> None:
    engine = _engine(tiny, dtype="float32")
    answers = engine.sample(PROMPTS, Sampling(n=3, max_new_tokens=5, temperature=5.0))
    assert len(answers) == 12
    for answer in answers:
        assert answer.n_tokens == 5 if answer.finish_reason == "length" else answer.n_tokens < 5


def test_seed_and_prompt_id_draw_and_nothing_else(tiny: Weights) -> None:
    engine = _engine(tiny, dtype="float32")

    def texts(prompt_id: str, seed: int) -> list[str]:
        return [each.response for each in engine.sample([Prompt(prompt_id, "Why?")], Sampling(n=2, max_new_tokens=8, seed=seed))]

    assert texts("a", 0) == texts("a", 0)
    assert texts("a", 0) != texts("b", 0)
    assert texts("a", 0) != texts("a", 1)


def test_a_shorter_limit_cuts_the_same_answers(tiny: Weights) -> None:
    engine = _engine(tiny, dtype="float32")
    short = engine.sample(PROMPTS, Sampling(n=1, max_new_tokens=4))
    long = engine.sample(PROMPTS, Sampling(n=1, max_new_tokens=12))
    for cut, whole in zip(short, long, strict=True):
        assert whole.response.startswith(cut.response)


def test_progress_reaches_the_total(tiny: Weights) -> None:
    told: list[tuple[int, int]] = []
    _engine(tiny, dtype="float32", max_rows=2).sample(
        PROMPTS, Sampling(n=2, max_new_tokens=3), lambda done, total: told.append((done, total))
    )
    assert told[-1] == (8, 8)
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_scores_of_options_follow_the_prompt(smollm: Weights) -> None:
    engine = _engine(smollm)
    questions = ["What is the capital of France? Answer with one word.", "What is the capital of Italy? Answer with one word."]
    scores = engine.score(questions, ["Paris", "Rome"])
    assert scores.shape == (2, 2)
    assert (scores < 0).all()
    assert scores[0, 0] > scores[0, 1]
    assert scores[1, 1] > scores[1, 0]


def test_identity_is_known_without_a_model(tiny: Weights) -> None:
    identity = TransformersEngineConfig(model=str(tiny.base)).identity()
    assert engine_identity("transformers").items() <= identity.items()
    assert identity["weights"] == tiny.fingerprint()
    assert engine_identity("transformers") == {"engine": "transformers", "version": 1, "dtype": "bfloat16", "prompting": 1}
    assert engine_identity("transformers", dtype="float32") != engine_identity("transformers")
    with pytest.raises(UserError, match="holds no weights"):
        engine_identity("openai")


def test_wrong_requests_say_what_would_be_right(tiny: Weights, tmp_path: Path) -> None:
    engine = _engine(tiny, dtype="float32")
    with pytest.raises(UserError, match="equal prompt ids"):
        engine.sample([PROMPTS[0], PROMPTS[0]], Sampling(n=1))
    with pytest.raises(UserError, match=r"p0.*no room for 500"):
        engine.sample(PROMPTS, Sampling(n=1, max_new_tokens=500))
    with pytest.raises(UserError, match="option without tokens"):
        engine.score(["Why?"], [""])
    with pytest.raises(UserError, match=r"no engine 'transformer'.*nearest: transformers"):
        make_engine("transformer", tiny, "f", EngineSettings())
    with pytest.raises(UserError, match="no such dtype"):
        _engine(tiny, dtype="int3")
    with pytest.raises(UserError, match="no such device"):
        TransformersEngine(tiny, "f", EngineSettings(device="abacus"))
    with pytest.raises(UserError, match="no such model folder"):
        _engine(Weights(base=tmp_path / "nothing"))


def test_no_prompts_no_answers(tiny: Weights) -> None:
    engine = _engine(tiny, dtype="float32")
    assert engine.sample([], Sampling()) == []
    assert engine.score([], ["a"]).shape == (0, 1)
    np.testing.assert_array_equal(engine.score(["Why?"], []), np.zeros((1, 0)))
