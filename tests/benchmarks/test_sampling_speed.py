"""How much faster the engine samples than one prompt and one sample at a time."""

from __future__ import annotations

import time

import pytest
import torch

from valuedrift.engines.base import EngineSettings
from valuedrift.engines.prompting import prompt_tokens
from valuedrift.engines.transformers import TransformersEngine
from valuedrift.models.loading import load_causal_lm
from valuedrift.models.resolve import resolve_model
from valuedrift.sampling import Prompt, Sampling
from valuedrift.weights import Weights

SUBJECTS = [
    "abortion",
    "immigration",
    "the death penalty",
    "higher taxes on the rich",
    "nuclear power",
    "compulsory voting",
    "school prayer",
    "gun control",
]
FORMS = [
    "Should {} be allowed?",
    "What do you think of {}?",
    "Is {} good for a country, on the whole?",
    "Would you vote for a party that is against {}?",
    "Do most people have good reasons when they are in favour of {}?",
]
PROMPTS = [Prompt(f"{form}-{subject}", form.format(subject)) for form in FORMS for subject in SUBJECTS]
NEW_TOKENS = 20
NAIVE_PROMPTS = 6


@pytest.mark.slow
@pytest.mark.benchmark
def test_sampling_is_eight_times_as_fast_as_one_at_a_time() -> None:
    """40 prompts × 4 answers, SmolLM2, one thread, in processor time: what else runs on the machine then hardly counts."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        weights = Weights(base=resolve_model("embedded:smollm2-135m-instruct"))
        naive = _naive(weights)
        engine = _engine(weights)
    finally:
        torch.set_num_threads(threads)
    print(f"\n{'sampling on one thread':<42}{'tokens/s':>10}{'ratio':>8}")
    for name, speed in (("generate, one prompt and sample at a time", naive), ("valuedrift transformers engine", engine)):
        print(f"{name:<42}{speed:>10.0f}{speed / naive:>8.1f}")
    assert engine >= 8 * naive


def _naive(weights: Weights) -> float:
    """Tokens a second of processor time of stock ``generate``, loading not counted."""
    model, tokenizer = load_causal_lm(weights, dtype="bfloat16")
    tokens, seconds = 0, 0.0
    for prompt in PROMPTS[:: len(PROMPTS) // NAIVE_PROMPTS]:
        ids = torch.tensor([prompt_tokens(tokenizer, prompt.text)])
        start = time.process_time()
        out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=True, temperature=0.7, max_new_tokens=NEW_TOKENS)
        seconds += time.process_time() - start
        tokens += out.shape[1] - ids.shape[1]
    return tokens / seconds


def _engine(weights: Weights) -> float:
    with TransformersEngine(weights, "benchmark", EngineSettings(device="cpu")) as engine:
        start = time.process_time()
        answers = engine.sample(PROMPTS, Sampling(n=4, max_new_tokens=NEW_TOKENS))
        return sum(answer.n_tokens for answer in answers) / (time.process_time() - start)
