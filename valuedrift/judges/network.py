"""The cross-encoder's network: a BERT body, low-rank adapters on its linear layers, and a small head over three stances."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from valuedrift.judges.encoding import Window
from valuedrift.stance import STANCES

_PRODUCTS = 64
"""Products of a prompt's and a response's features in the head."""
_LENGTH_STEP = 16
"""Lengths are rounded up to this: every new shape costs the CPU kernels a plan of their own, in time and memory."""

_POSITIONS = "embeddings.position_ids"
"""A constant that older files carry among the weights."""


class LowRank(nn.Module):
    """A frozen linear layer plus a trained update of low rank (LoRA, Hu et al. 2021): y = Wx + b + up·down·x."""

    def __init__(self, frozen: nn.Linear, rank: int, dropout: float) -> None:
        super().__init__()
        self.frozen = frozen.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, frozen.in_features) / frozen.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(frozen.out_features, rank))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output, shape (…, out)."""
        return cast(Tensor, self.frozen(x) + self.dropout(x) @ self.down.T @ self.up.T)


class StanceHead(nn.Module):
    """Logits from the pooled states of prompt and response.

    Whether a response supports what its prompt asks depends on two signs, that of the prompt ("is it right", "is it wrong") and that of the response: a sum of
    features cannot express it, their product can. So both are projected and multiplied, beside what the states say by themselves.

    Args:
        width: Size of the body's states.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.1)
        self.prompt = nn.Linear(width, _PRODUCTS)
        self.response = nn.Linear(width, _PRODUCTS)
        self.output = nn.Linear(2 * width + _PRODUCTS, len(STANCES))

    def forward(self, first: Tensor, prompt: Tensor, response: Tensor) -> Tensor:
        """Logits, shape (windows, 3), from the states of [CLS], the mean prompt and the mean response, each (windows, width)."""
        prompt, response = self.dropout(prompt), self.dropout(response)
        products = torch.tanh(self.prompt(prompt)) * torch.tanh(self.response(response))
        return cast(Tensor, self.output(torch.cat([self.dropout(first), response, products], dim=-1)))


class StanceNetwork(nn.Module):
    """Logits over (support, neutral, oppose) for windows of (prompt, response).

    Args:
        body: A BERT encoder.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.head = StanceHead(body.get_parameter("embeddings.word_embeddings.weight").shape[1])

    def forward(self, tokens: Tensor, mask: Tensor, segments: Tensor) -> Tensor:
        """Logits, shape (windows, 3).

        Args:
            tokens: Token ids, (windows, length).
            mask: 1 for real tokens, 0 for padding, same shape.
            segments: 1 for the response, 0 for the prompt and padding, same shape.
        """
        return cast(Tensor, self.head(*self.pool(tokens, mask, segments)))

    def pool(self, tokens: Tensor, mask: Tensor, segments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The state of [CLS], the mean state of the prompt and that of the response, each (windows, width), float32."""
        states = self.body(input_ids=tokens, attention_mask=mask, token_type_ids=segments).last_hidden_state.float()
        response = segments.unsqueeze(-1).float()
        prompt = mask.unsqueeze(-1).float() - response
        return states[:, 0], _mean(states, prompt), _mean(states, response)


def _mean(states: Tensor, weight: Tensor) -> Tensor:
    return (states * weight).sum(1) / weight.sum(1).clamp_min(1.0)


def load_body(folder: Path) -> nn.Module:
    """The frozen body from a folder in Hugging Face layout, float32, without its pooler, which the head does not use."""
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    body = cast(nn.Module, BertModel(BertConfig.from_json_file(folder / "config.json"), add_pooling_layer=False))
    tensors = load_file(folder / "model.safetensors")
    body.load_state_dict(
        {name: tensor.float() for name, tensor in tensors.items() if not name.startswith("pooler.") and name != _POSITIONS}
    )
    return body.requires_grad_(False)


def add_adapters(body: nn.Module, rank: int, dropout: float = 0.05) -> dict[str, LowRank]:
    """Put a low-rank update on every linear layer of the encoder; returns them by the layer's name."""
    layers = {name: module for name, module in body.named_modules() if isinstance(module, nn.Linear)}
    adapters = {}
    for name, layer in layers.items():
        adapters[name] = LowRank(layer, rank, dropout)
        parent, _, child = name.rpartition(".")
        setattr(body.get_submodule(parent), child, adapters[name])
    return adapters


def merge_adapters(body: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Add stored updates to the body's own weights.

    Args:
        body: A body without adapters.
        tensors: ``<layer>.down`` (rank, in) and ``<layer>.up`` (out, rank).
    """
    with torch.no_grad():
        for name in sorted({key.rpartition(".")[0] for key in tensors}):
            layer = cast(nn.Linear, body.get_submodule(name))
            layer.weight += tensors[f"{name}.up"].float() @ tensors[f"{name}.down"].float()


def collate(windows: Sequence[Window], pad: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Pad windows to the longest: tokens, mask, segments, each (windows, length)."""
    longest = max(len(window.tokens) for window in windows)
    length = -(-longest // _LENGTH_STEP) * _LENGTH_STEP
    tokens = torch.full((len(windows), length), pad)
    mask = torch.zeros((len(windows), length), dtype=torch.long)
    segments = torch.zeros((len(windows), length), dtype=torch.long)
    for row, window in enumerate(windows):
        size = len(window.tokens)
        tokens[row, :size] = torch.tensor(window.tokens)
        mask[row, :size] = 1
        segments[row, window.response_start : size] = 1
    return tokens.to(device), mask.to(device), segments.to(device)
