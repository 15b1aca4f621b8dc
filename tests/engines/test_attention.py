"""Folded attention against attention written out in float64."""

from __future__ import annotations

import pytest
import torch

from valuedrift.engines.decoding.attention import folded_attention


@pytest.mark.parametrize(("heads", "shared", "length"), [(9, 3, 1), (8, 8, 1), (12, 2, 1), (6, 2, 4)])
def test_folding_changes_no_number(heads: int, shared: int, length: int) -> None:
    generator = torch.Generator().manual_seed(0)
    rows, span, size = 5, 32, 16
    query = torch.randn(rows, heads, length, size, generator=generator)
    key, value = (torch.randn(rows, shared, span, size, generator=generator) for _ in range(2))
    seen = torch.randint(length, span, (rows,), generator=generator)
    beyond = torch.arange(span) > (seen[:, None] - length + 1 + torch.arange(length))[:, None, :, None]
    mask = torch.zeros(beyond.shape).masked_fill(beyond, float("-inf"))
    module = torch.nn.Module()
    module.num_key_value_groups = heads // shared  # type: ignore[assignment]  # what transformers' attention layers carry

    output, _ = folded_attention(module, query, key, value, mask, scaling=0.3)

    repeated = [tensor.double().repeat_interleave(heads // shared, dim=1) for tensor in (key, value)]
    weights = torch.softmax(0.3 * query.double() @ repeated[0].transpose(-1, -2) + mask.double(), -1)
    expected = (weights @ repeated[1]).transpose(1, 2)
    torch.testing.assert_close(output.double(), expected, atol=1e-6, rtol=1e-5)
