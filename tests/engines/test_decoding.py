"""The decode loop against a plain one: full forward passes without any cache, one sequence at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Qwen3Config,
)

from valuedrift.engines.decoding import attention
from valuedrift.engines.decoding.canary import check_decoding
from valuedrift.engines.decoding.loop import Answer, Limits, decode
from valuedrift.errors import UserError

SIZE = {
    "vocab_size": 151,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
}
ENDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
CONFIGS = {
    "llama": LlamaConfig(**SIZE, **ENDS),
    "qwen3": Qwen3Config(**SIZE, **ENDS),
    "gemma3": Gemma3TextConfig(**SIZE, **ENDS, sliding_window=128),
    "gpt_neox": GPTNeoXConfig(vocab_size=151, hidden_size=48, num_hidden_layers=2, num_attention_heads=6, intermediate_size=64, **ENDS),
    "gpt2": GPT2Config(vocab_size=151, n_embd=48, n_layer=2, n_head=6, n_positions=256, **ENDS),
}


def _model(config: object, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4.0)  # far from uniform, so that a wrong mask or position shows in the tokens
    return model.to(dtype)


def _groups(lengths: list[int], n: int, new: int) -> list[list[Answer]]:
    generator = np.random.default_rng(5)
    prompts = [generator.integers(3, 151, length).tolist() for length in lengths]
    return [[Answer(prompt, generator.random(new)) for _ in range(n)] for prompt in prompts]


def _plain(model: torch.nn.Module, answer: Answer, temperature: float, ends: frozenset[int]) -> tuple[list[int], bool]:
    """The same answer by full forward passes and a plain inverse CDF."""
    tokens: list[int] = []
    for uniform in answer.uniforms:
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([[*answer.prompt, *tokens]])).logits[0, -1].double().numpy()
        p = np.exp((logits - logits.max()) / temperature)
        token = int(np.searchsorted(np.cumsum(p / p.sum()), uniform, side="right"))
        if token in ends:
            return tokens, True
        tokens.append(token)
    return tokens, False


def _run(
    model: torch.nn.Module, groups: list[list[Answer]], ends: frozenset[int], *, rows: int = 128, tokens: int = 65536
) -> list[tuple[list[int], bool]]:
    fresh = [[Answer(answer.prompt, answer.uniforms) for answer in group] for group in groups]
    decode(model, fresh, temperature=0.7, top_p=1.0, end_tokens=ends, limits=Limits(max_rows=rows, cache_tokens=tokens))
    return [(answer.tokens, answer.ended) for group in fresh for answer in group]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_architecture_draws_what_plain_forward_passes_draw(name: str) -> None:
    model = _model(CONFIGS[name])
    groups = _groups([1, 2, 7, 31, 33, 40], n=2, new=9)
    ends = frozenset(range(2, 14))  # so many that answers end at different lengths
    expected = [_plain(model, answer, 0.7, ends) for group in groups for answer in group]
    assert len({len(tokens) for tokens, _ in expected}) > 3
    attention.fold(model)
    check_decoding(model)
    assert _run(model, groups, ends) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_memory_and_order_change_no_draw(dtype: torch.dtype) -> None:
    model = _model(CONFIGS["llama"], dtype)
    attention.fold(model)
    ends = frozenset(range(2, 10))
    groups = _groups([1, 3, 9, 30, 34, 64, 65, 80, 12, 12], n=3, new=40)
    expected = _run(model, groups, ends)
    for rows, tokens in ((1, 65536), (2, 65536), (7, 65536), (128, 256), (30, 1024)):
        assert _run(model, groups, ends, rows=rows, tokens=tokens) == expected
    backwards = _run(model, groups[::-1], ends, rows=11)
    assert [backwards[3 * (9 - group) + sample] for group in range(10) for sample in range(3)] == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_threads_change_no_draw(dtype: torch.dtype) -> None:
    model = _model(CONFIGS["llama"], dtype)
    attention.fold(model)
    groups = _groups([5, 20, 40, 70], n=8, new=30)
    before = torch.get_num_threads()
    try:
        drawn = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            drawn.append(_run(model, groups, frozenset({2})))
    finally:
        torch.set_num_threads(before)
    assert drawn[0] == drawn[1]


def test_progress_tells_every_answer_once() -> None:
    model = _model(CONFIGS["llama"])
    groups = _groups([3, 5, 9], n=4, new=6)
    told: list[int] = []
    decode(
        model,
        groups,
        temperature=0.7,
        top_p=1.0,
        end_tokens=frozenset(range(2, 30)),
        limits=Limits(max_rows=5, cache_tokens=65536),
        progress=told.append,
    )
    assert sum(told) == 12
    assert all(told)
    assert len(told) > 1


def test_a_sliding_window_shorter_than_the_sequences_is_refused() -> None:
    model = _model(MistralConfig(**SIZE, **ENDS, sliding_window=8))
    with pytest.raises(UserError, match="not every layer sees them all"):
        _run(model, _groups([20], n=1, new=4), frozenset())


def test_an_architecture_that_the_loop_does_not_reproduce_is_refused() -> None:
    from transformers import BloomConfig

    model = _model(BloomConfig(vocab_size=151, hidden_size=48, n_layer=2, n_head=6))
    with pytest.raises(UserError, match="does not reproduce a 'bloom' model"):
        check_decoding(model)
