"""From logits to tokens: one uniform number a (sequence, position), so that batching and order never change a draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from valuedrift.fingerprint import seed_from

if TYPE_CHECKING:
    import torch

_BLOCK = 64
"""Tokens a block of the two-level search: the cumulative sum then runs over blocks, not over the whole vocabulary."""
_CHUNK = 16
"""Rows worked on at once, so that their float32 copies stay in the processor's cache."""


def sequence_uniforms(weights_fingerprint: str, prompt_id: str, sample_idx: int, seed: int, length: int) -> NDArray[np.float64]:
    """The uniforms in [0, 1) that draw one answer, one a position.

    They depend on what is asked of which weights and on nothing else; a longer answer has the same first numbers.
    """
    key = seed_from(weights_fingerprint, prompt_id, sample_idx, seed)
    return np.random.Generator(np.random.Philox(key=key)).random(length)


def drawable(logits: torch.Tensor) -> torch.Tensor:
    """Which rows [..., vocabulary] of logits are numbers to draw from: the greatest is finite (NaN is greater than all; −∞ rules a token out)."""
    return logits.amax(-1).isfinite()


def draw_tokens(logits: torch.Tensor, uniforms: torch.Tensor, *, temperature: float, top_p: float) -> torch.Tensor:
    """Draw one token a row by inverting the cumulative distribution in order of token ids.

    Args:
        logits: [rows, vocabulary], any float dtype.
        uniforms: [rows] float64 in [0, 1); not used at temperature 0.
        temperature: Softmax temperature; 0 takes the most probable token (the lowest id of equal ones).
        top_p: Nucleus mass: only the fewest most probable tokens that reach this mass are drawn from; 1 keeps all.

    Returns:
        Token ids [rows], int64.
    """
    import torch

    if temperature == 0.0:
        return logits.argmax(-1)
    if logits.device.type != "cpu":
        return _draw(logits, uniforms, temperature, top_p)
    return torch.cat(
        [_draw(logits[at : at + _CHUNK], uniforms[at : at + _CHUNK], temperature, top_p) for at in range(0, len(logits), _CHUNK)]
    )


def _draw(logits: torch.Tensor, uniforms: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    import torch

    mass = logits.float()
    mass = mass.sub(mass.amax(-1, keepdim=True)).mul_(1.0 / temperature).exp_()
    if top_p < 1.0:
        mass = _nucleus(mass, top_p)
    width = mass.shape[-1]
    if width % _BLOCK:
        mass = torch.nn.functional.pad(mass, (0, _BLOCK - width % _BLOCK))
    blocks = mass.view(mass.shape[0], -1, _BLOCK)
    upto = blocks.sum(-1).double().cumsum(-1)
    target = uniforms[:, None] * upto[:, -1:]
    block = torch.searchsorted(upto, target, right=True).clamp_(max=upto.shape[-1] - 1)
    # Rounding may leave the target at or past the last block with any mass; the last such block then has it.
    block = torch.minimum(block, _last_positive(upto.diff(dim=-1, prepend=torch.zeros_like(upto[:, :1]))))
    before = upto.gather(1, block) - blocks.sum(-1).double().gather(1, block)
    inside = blocks.gather(1, block[:, :, None].expand(-1, -1, _BLOCK))[:, 0]
    offset = torch.searchsorted(inside.double().cumsum(-1), target - before, right=True).clamp_(max=_BLOCK - 1)
    offset = torch.minimum(offset, _last_positive(inside))
    return (block * _BLOCK + offset)[:, 0]


def _nucleus(mass: torch.Tensor, top_p: float) -> torch.Tensor:
    """Zero the mass outside the smallest set of most probable tokens that reaches ``top_p``."""
    ordered, index = mass.sort(stable=True, dim=-1, descending=True)
    upto = ordered.double().cumsum(-1)
    outside = upto - ordered >= top_p * upto[:, -1:]
    return mass.scatter(1, index, ordered.masked_fill(outside, 0.0))


def _last_positive(values: torch.Tensor) -> torch.Tensor:
    """Index [rows, 1] of the last positive entry of each row."""
    import torch

    places = torch.arange(values.shape[-1], device=values.device)
    return torch.where(values > 0, places, 0).amax(-1, keepdim=True)
