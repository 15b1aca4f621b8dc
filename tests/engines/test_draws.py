"""Drawing tokens: the exact distribution, nothing outside the nucleus, no draw that depends on its batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from valuedrift.engines.decoding.draws import draw_tokens, sequence_uniforms


def _reference(logits: np.ndarray, uniform: float, temperature: float, top_p: float) -> int:
    """Inverse CDF over the whole vocabulary in float64, by numpy alone."""
    scaled = logits.astype(np.float64) / temperature
    p = np.exp(scaled - scaled.max())
    p /= p.sum()
    if top_p < 1.0:
        order = np.argsort(-p, kind="stable")
        kept = order[: int(np.searchsorted(np.cumsum(p[order]), top_p, side="left")) + 1]
        masked = np.zeros_like(p)
        masked[kept] = p[kept]
        p = masked / masked.sum()
    return int(np.searchsorted(np.cumsum(p), uniform, side="right"))


@pytest.mark.parametrize(("temperature", "top_p"), [(0.7, 1.0), (1.0, 1.0), (0.7, 0.9), (1.3, 0.5)])
@pytest.mark.parametrize("vocabulary", [7, 64, 65, 1000])
def test_draws_are_those_of_a_plain_inverse_cdf(temperature: float, top_p: float, vocabulary: int) -> None:
    generator = np.random.default_rng(vocabulary)
    logits = (3 * generator.standard_normal((200, vocabulary))).astype(np.float32)
    uniforms = generator.random(200)
    drawn = draw_tokens(torch.tensor(logits), torch.tensor(uniforms), temperature=temperature, top_p=top_p).numpy()
    expected = np.array([_reference(row, u, temperature, top_p) for row, u in zip(logits, uniforms, strict=True)])
    # A uniform within rounding of a boundary may fall to either side; in 200 draws at most one does.
    assert np.count_nonzero(drawn != expected) <= 1


def test_frequencies_at_temperature_follow_the_exact_softmax() -> None:
    logits = torch.tensor([0.0, 1.0, -1.0, 2.5, float("-inf"), 0.3])
    expected = torch.softmax(logits.double() / 0.7, -1).numpy()
    n = 40_000
    uniforms = torch.tensor(np.random.default_rng(0).random(n))
    drawn = draw_tokens(logits.expand(n, -1), uniforms, temperature=0.7, top_p=1.0).numpy()
    counts = np.bincount(drawn, minlength=6)
    assert counts[4] == 0
    seen = expected > 0
    assert stats.chisquare(counts[seen], n * expected[seen]).pvalue > 0.001


@given(st.floats(0.0, 1.0, exclude_max=True), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_a_token_without_probability_is_never_drawn(uniform: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    logits = torch.tensor(generator.standard_normal((1, 130)), dtype=torch.float32)
    logits[0, torch.tensor(generator.random(130) < 0.9)] = float("-inf")
    if torch.isinf(logits).all():
        logits[0, 3] = 0.0
    for u in (uniform, 0.0, float(np.nextafter(1.0, 0.0))):
        token = draw_tokens(logits, torch.tensor([u], dtype=torch.float64), temperature=0.7, top_p=1.0)
        assert torch.isfinite(logits[0, token[0]])


def test_temperature_zero_takes_the_most_probable() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0], [5.0, -1.0, 4.9]])
    assert draw_tokens(logits, torch.zeros(2, dtype=torch.float64), temperature=0.0, top_p=1.0).tolist() == [1, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_draw_does_not_depend_on_its_batch(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(37, 49152, generator=generator).to(dtype)
    uniforms = torch.rand(37, generator=generator, dtype=torch.float64)
    together = draw_tokens(logits, uniforms, temperature=0.7, top_p=1.0)
    alone = torch.cat([draw_tokens(logits[i : i + 1], uniforms[i : i + 1], temperature=0.7, top_p=1.0) for i in range(37)])
    assert torch.equal(together, alone)


def test_uniforms_belong_to_weights_prompt_sample_and_seed() -> None:
    base = sequence_uniforms("w", "p", 0, 0, 8)
    np.testing.assert_array_equal(base, sequence_uniforms("w", "p", 0, 0, 8))
    np.testing.assert_array_equal(base[:5], sequence_uniforms("w", "p", 0, 0, 5))
    for other in (("v", "p", 0, 0), ("w", "q", 0, 0), ("w", "p", 1, 0), ("w", "p", 0, 1)):
        assert not np.array_equal(base, sequence_uniforms(*other, 8))
    assert stats.kstest(np.concatenate([sequence_uniforms("w", "p", i, 0, 100) for i in range(50)]), "uniform").pvalue > 0.001
