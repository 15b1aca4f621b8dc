"""Draws of the vLLM engine follow the model's distribution, and only what they are seeded by."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from valuedrift.sampling import Prompt, Sampling
from valuedrift.weights import Weights

if TYPE_CHECKING:
    from valuedrift.engines.vllm import VllmEngine

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

QUESTION = "Should the voting age be lowered to sixteen?"


def test_first_tokens_are_as_likely_as_transformers_says(engine: VllmEngine, smollm: Weights) -> None:
    import torch
    from scipy.stats import chisquare

    from valuedrift.engines.prompting import prompt_tokens, to_response
    from valuedrift.models.loading import load_causal_lm

    prompt, draws = Prompt("q", QUESTION), 250
    sampling = Sampling(n=draws, temperature=1.3, top_p=0.9, max_new_tokens=1)
    drawn = Counter(response.response for response in engine.sample([prompt], sampling))

    model, tokenizer = load_causal_lm(smollm)
    asked = prompt_tokens(tokenizer, QUESTION)
    with torch.inference_mode():
        likely, tokens = (model(torch.tensor([asked])).logits[0, -1].double() / sampling.temperature).softmax(-1).sort(descending=True)
    nucleus = int((likely.cumsum(0) < sampling.top_p).sum()) + 1
    wanted: Counter[str] = Counter()
    for token, share in zip(tokens[:nucleus].tolist(), (likely[:nucleus] / likely[:nucleus].sum()).tolist(), strict=True):
        response = to_response(tokenizer, prompt, asked, 0, [token], sampling, ended=False)
        wanted[response.response] += draws * share
    assert drawn.keys() <= wanted.keys(), "drawn, though it is outside of the nucleus"
    often = [text for text, count in wanted.items() if count >= 5]
    assert len(often) >= 4, "too few kinds of answers to compare"
    counts = [*(drawn[text] for text in often), draws - sum(drawn[text] for text in often)]
    means = [*(wanted[text] for text in often), draws - sum(wanted[text] for text in often)]
    assert chisquare(counts, means).pvalue > 1e-4, list(zip(often, counts, means, strict=False))


def test_draws_are_seeded_by_weights_and_seed_and_by_nothing_before(engine: VllmEngine, smollm: Weights, trained: Weights) -> None:
    prompts = [Prompt("a", QUESTION), Prompt("b", "Is it right to ban cars from city centres?")]
    sampling = Sampling(n=4, temperature=1.0, max_new_tokens=8)
    first = engine.sample(prompts, sampling)
    alone = engine.sample(prompts[1:], sampling)
    assert alone == [response for response in first if response.prompt_id == "b"], "draws hang on what is drawn beside them"
    other = engine.sample(prompts, sampling.model_copy(update={"seed": 7}))
    assert [response.response for response in other] != [response.response for response in first]
    engine.load(trained, trained.fingerprint())
    engine.sample(prompts, sampling)
    engine.load(smollm, smollm.fingerprint())
    assert engine.sample(prompts, sampling) == first
    assert {response.finish_reason for response in first} <= {"stop", "length"}
    assert len({response.response for response in first if response.prompt_id == "a"}) > 1, "all alike: nothing was drawn"


def test_seeds_of_many_long_prompts_at_once_do_not_end_vllm(engine: VllmEngine) -> None:
    prompts = [Prompt(str(number), f"{'Some say so, others do not. ' * (2 * number)}{QUESTION}") for number in range(32)]
    responses = engine.sample(prompts, Sampling(n=2, temperature=1.0, max_new_tokens=3))
    assert len(responses) == 64, "more than vLLM computes in one step: 32 prompts of 50 to 450 tokens"
