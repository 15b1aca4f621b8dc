"""The body of the embedded language model, which reads rows of segments without padding between them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from valuedrift.fingerprint import file_fingerprint, fingerprint
from valuedrift.judges.language.segments import Segment
from valuedrift.models.checking import fill, read_tensors

_UNSEEN = -1e9
"""Added to the score of a token that must not be seen."""
_PARTS = {
    "attention_in": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention_out": ("self_attn.o_proj",),
    "mlp_in": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp_out": ("mlp.down_proj",),
    "before_attention": ("input_layernorm",),
    "before_mlp": ("post_attention_layernorm",),
}
"""What each part of a layer is made of, by the names of the model's file; what is multiplied with the same input is one matrix here."""

_CONFIG = (
    *("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers", "num_key_value_heads"),
    *("rms_norm_eps", "rope_parameters", "vocab_size"),
)
"""What is read of config.json."""
_TOKENIZER = ("added_tokens", "model", "normalizer", "pre_tokenizer")
"""What is read of tokenizer.json."""


class Packed(NamedTuple):
    """Rows of segments as the body takes them; P tokens of all rows, of which the longest has T."""

    tokens: Tensor
    """Ids, shape (P,)."""
    positions: Tensor
    """Of each token in what its segment reads: itself and the row's first segment. Shape (P,)."""
    rows: Tensor
    """Row of each token, shape (P,)."""
    columns: Tensor
    """Place of each token in its row, shape (P,)."""
    mask: Tensor
    """Which tokens of its row a token sees, shape (rows, 1, T, T)."""
    ends: Tensor
    """The last token of every segment but the first, row by row, as index among the P."""

    def to(self, device: str) -> Packed:
        """The same on a device."""
        return Packed(*(tensor.to(device) for tensor in self))


def pack(rows: Sequence[Sequence[Segment]]) -> Packed:
    """Put rows beside each other: every segment sees the row's first one and its own beginning, none sees another.

    Args:
        rows: Two segments or more each, none empty.
    """
    longest = max(sum(map(len, row)) for row in rows)
    mask = torch.zeros(len(rows), 1, longest, longest, dtype=torch.bool)
    tokens: list[int] = []
    positions: list[int] = []
    places: list[tuple[int, int]] = []
    ends: list[int] = []
    for number, row in enumerate(rows):
        column = 0
        for order, segment in enumerate(row):
            before, after = (len(row[0]) if order else 0), column + len(segment)
            tokens += segment
            positions += range(before, before + len(segment))
            places += ((number, place) for place in range(column, after))
            mask[number, 0, column:after, :before] = True
            mask[number, 0, column:after, column:after] = torch.ones(len(segment), len(segment), dtype=torch.bool).tril()
            if order:
                ends.append(len(tokens) - 1)
            column = after
        mask[number, 0, column:, 0] = True  # the row's padding sees something, or its softmax would be no number
    where = torch.tensor(places)
    return Packed(torch.tensor(tokens), torch.tensor(positions), where[:, 0], where[:, 1], mask, torch.tensor(ends))


class Layer(nn.Module):
    """One layer: attention of grouped queries and a gated MLP.

    Args:
        width: Size of states.
        heads: Heads of queries.
        groups: Heads of keys and values; each serves heads / groups queries.
        inner: Width of the MLP.
        eps: Of the norms.
    """

    def __init__(self, width: int, heads: int, groups: int, inner: int, eps: float) -> None:
        super().__init__()
        self.heads, self.groups, self.size = heads, groups, width // heads
        self.before_attention, self.before_mlp = nn.RMSNorm(width, eps), nn.RMSNorm(width, eps)
        self.attention_in = nn.Linear(width, (heads + 2 * groups) * self.size, bias=False)
        self.attention_out = nn.Linear(heads * self.size, width, bias=False)
        self.mlp_in = nn.Linear(width, 2 * inner, bias=False)
        self.mlp_out = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor, packed: Packed, bias: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        """States after this layer, shape (P, width).

        Args:
            x: States before it.
            packed: Where they lie.
            bias: Added to scores, shape (rows, 1, T, T).
            turn: Cosine and sine of each token's angles, each (P, 1, size / 2).
        """
        groups = self.groups
        q, k, v = self.attention_in(self.before_attention(x)).view(len(x), -1, self.size).split([self.heads, groups, groups], 1)
        q, k, v = (self._padded(states, packed) for states in (_turned(q, turn), _turned(k, turn), v))
        k, v = (states.repeat_interleave(self.heads // groups, 1) for states in (k, v))
        seen = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = x + self.attention_out(seen.transpose(1, 2)[packed.rows, packed.columns].flatten(1))
        gate, up = self.mlp_in(self.before_mlp(x)).chunk(2, -1)
        return cast(Tensor, x + self.mlp_out(nn.functional.silu(gate) * up))

    def _padded(self, states: Tensor, packed: Packed) -> Tensor:
        """Heads of all tokens (P, heads, size) by row: (rows, heads, T, size)."""
        count, _, longest, _ = packed.mask.shape
        empty = states.new_zeros(count, longest, *states.shape[1:])
        return empty.index_put((packed.rows, packed.columns), states).transpose(1, 2)


def _turned(states: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Heads turned by their positions (rotary embedding, Su et al. 2021), shape unchanged."""
    cosine, sine = turn
    first, second = states.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


class Body(nn.Module):
    """A Llama without its output layer.

    Args:
        config: The model's config.json.
    """

    def __init__(self, config: dict[str, object]) -> None:
        super().__init__()

        def number(name: str) -> int:
            return cast(int, config[name])

        self.width, eps = number("hidden_size"), cast(float, config["rms_norm_eps"])
        self._theta = cast(float, cast(dict[str, object], config["rope_parameters"])["rope_theta"])
        self.embeddings = nn.Embedding(number("vocab_size"), self.width)
        shape = (number("num_attention_heads"), number("num_key_value_heads"), number("intermediate_size"))
        self.layers = nn.ModuleList(Layer(self.width, *shape, eps) for _ in range(number("num_hidden_layers")))
        self.norm = nn.RMSNorm(self.width, eps)

    def forward(self, packed: Packed) -> Tensor:
        """Last states of all tokens after the final norm, shape (P, width)."""
        x = self.embeddings(packed.tokens)
        bias = torch.zeros(packed.mask.shape, device=x.device).masked_fill(~packed.mask, _UNSEEN)
        size = cast(Layer, self.layers[0]).size
        speeds = 1.0 / self._theta ** (torch.arange(0, size, 2, device=x.device).float() / size)
        angles = packed.positions.float()[:, None, None] * speeds
        turn = angles.cos(), angles.sin()
        for layer in self.layers:
            x = layer(x, packed, bias, turn)
        return cast(Tensor, self.norm(x))


def body_fingerprint(folder: Path) -> str:
    """Content hash of what is read of the body and its tokenizer, whatever version of which library wrote their files."""
    config, tokenizer = (json.loads((folder / name).read_text(encoding="utf-8")) for name in ("config.json", "tokenizer.json"))
    read = {key: config[key] for key in _CONFIG}, {key: tokenizer.get(key) for key in _TOKENIZER}
    return fingerprint([file_fingerprint(folder / "model.safetensors"), *read])


def load_body(folder: Path) -> Body:
    """The frozen body from a folder in Hugging Face layout, float32.

    Raises:
        DataError: The weights are not those of the body that the config describes, or not finite.
    """
    path = folder / "model.safetensors"
    with torch.device("meta"):  # no time for numbers that are overwritten
        body = Body(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    fill(body.to_empty(device="cpu"), _renamed(read_tensors(path), len(body.layers)), path)
    return body.requires_grad_(False)


def _renamed(tensors: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Tensors by the names that they have here; what has none keeps its own."""
    for layer in range(layers):
        for part, of in _PARTS.items():
            names = [f"model.layers.{layer}.{name}.weight" for name in of]
            if found := [tensors.pop(name) for name in names if name in tensors]:
                tensors[f"layers.{layer}.{part}.weight"] = torch.cat(found)
    for own, name in {"embeddings.weight": "model.embed_tokens.weight", "norm.weight": "model.norm.weight"}.items():
        if name in tensors:
            tensors[own] = tensors.pop(name)
    return tensors
