"""Gradients of rows: of many with one pass where only adapters were trained, one after another where full weights were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from valuedrift.attribution.gradients import Gradient
from valuedrift.training.algorithm import Separable
from valuedrift.training.encode import Encoded

_TOKENS = 1024
"""Tokens of rows that go through the model together, at most; no more than in a step of the training, for which there was room."""
_NUMBERS = 2**27
"""Numbers of their gradients, at most: 512 MB in float32."""


def row_gradients(
    model: Any, weights: Mapping[str, Tensor], algorithm: Separable, rows: Sequence[Encoded]
) -> Iterator[tuple[int, Gradient]]:
    """The gradient of every row's loss, with the row's place; rows of about one length come together.

    Args:
        model: The checkpoint.
        weights: Its trained weights.
        algorithm: Of the training.
        rows: As tokens.
    """
    layers = _linear_layers(model, weights)
    size = sum(weight.numel() for weight in weights.values())
    most = 1 if layers is None else max(1, _NUMBERS // size)
    tokens = min(_TOKENS, algorithm.batch_size * algorithm.max_length)
    for block in _blocks([len(row["input_ids"]) for row in rows], most, tokens):
        some = [rows[place] for place in block]
        together = None if layers is None else _together(model, layers, algorithm, some)
        gradients = _one_alone(model, weights, algorithm, some) if together is None else together
        yield from zip(block, gradients, strict=True)


def _blocks(lengths: Sequence[int], most: int, tokens: int) -> Iterator[list[int]]:
    """Places of rows, the short ones first, in blocks of bounded numbers of rows and of padded tokens; one row has always room."""
    block: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if block and (len(block) == most or (len(block) + 1) * lengths[place] > tokens):
            yield block
            block = []
        block.append(place)
    if block:
        yield block


def _linear_layers(model: Any, weights: Mapping[str, Tensor]) -> dict[str, nn.Linear] | None:
    """By name of a weight the layer that it is the matrix of; None where something else is trained too."""
    modules = dict(model.named_modules())
    layers = {name: modules[name.removesuffix(".weight")] for name in weights if name.endswith(".weight")}
    plain = len(layers) == len(weights) and all(type(layer) is nn.Linear for layer in layers.values())
    # a full matrix is larger than what it sees of a row: rows of full weights have no room beside each other
    return layers if plain and all("lora_" in name for name in weights) else None


def _together(model: Any, layers: Mapping[str, nn.Linear], algorithm: Separable, rows: Sequence[Encoded]) -> Iterator[Gradient] | None:
    """A linear layer's gradient of a row is, summed over tokens, what came back to it times what went in.

    Returns:
        None of a model that does not give each layer every token of every row once (shared layers, experts): there it is not so.
    """
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in layers}

    def keep(name: str, went_in: Tensor, came_out: Tensor) -> None:
        seen[name].append((went_in.detach(), came_out))

    hooks = [
        layer.register_forward_hook(lambda _, inputs, output, name=name: keep(name, inputs[0], output)) for name, layer in layers.items()
    ]
    try:
        total = algorithm.row_losses(model, rows).sum()
    finally:
        for hook in hooks:
            hook.remove()
    width = max(len(row["input_ids"]) for row in rows)
    if any(len(calls) != 1 or calls[0][0].shape[:-1] != (len(rows), width) for calls in seen.values()):
        return None
    went_in, came_out = zip(*(calls[0] for calls in seen.values()), strict=True)
    back = torch.autograd.grad(total, came_out, allow_unused=True)
    blocks = [None if came is None else torch.einsum("rto,rti->roi", came, went) for went, came in zip(went_in, back, strict=True)]
    return ([None if block is None else block[place] for block in blocks] for place in range(len(rows)))


def _one_alone(model: Any, weights: Mapping[str, Tensor], algorithm: Separable, rows: Sequence[Encoded]) -> Iterator[Gradient]:
    for row in rows:
        yield torch.autograd.grad(algorithm.row_losses(model, [row])[0], tuple(weights.values()), allow_unused=True)
