"""The cross-encoder's network: an encoder as body, low-rank adapters on its linear layers, and a small head over three stances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from valuedrift.errors import DataError, UserError
from valuedrift.judges.network.windows import Window
from valuedrift.models.checking import check_model, fill, read_tensors
from valuedrift.models.others import quiet, read_by_others
from valuedrift.stance import STANCES
from valuedrift.weight_files import told

_PRODUCTS = 64
"""Products of a prompt's and a response's features in the head."""
_SIDE = 8.0
"""Weight of agreement at the start of training."""
BATCH_TOKENS = 4096
"""Tokens of one batch, padding included: fills two CPU cores and stays within their caches; more gains nothing."""
_LENGTH_STEP = 8
"""Lengths are rounded up to this: every new shape costs the CPU kernels a plan of their own, in time and memory."""
ENCODERS = "a model that reads whole texts: BERT, RoBERTa, DeBERTa, ModernBERT, …"
"""What a body is, for messages."""


class LowRank(nn.Module):
    """A frozen linear layer plus a trained update of low rank (LoRA, Hu et al. 2021): y = Wx + b + scale·up·down·x."""

    def __init__(self, frozen: nn.Linear, rank: int, dropout: float = 0.0, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.frozen = frozen.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, frozen.in_features) / frozen.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(frozen.out_features, rank))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output, shape (…, out)."""
        return cast(Tensor, self.frozen(x) + self.scale * (self.dropout(x) @ self.down.T @ self.up.T))


class Reading(NamedTuple):
    """What the body makes of some texts, each (texts, width), float32."""

    first: Tensor
    """State of the token that a text begins with, [CLS] in BERT."""
    mean: Tensor
    """Mean state of all tokens."""

    def rows(self, index: Tensor) -> Reading:
        """The readings of these rows."""
        return Reading(self.first[index], self.mean[index])


class StanceHead(nn.Module):
    """Logits from the readings of prompt and response.

    Whether a response supports what its prompt asks depends on two signs, that of the prompt ("is it right", "is it wrong") and that of the response: a sum of
    features cannot express it, their product can. So a bilinear form of both mean states, which starts as their cosine, tells which side the response is
    on, and further products stand beside what the states say by themselves (a verdict, a survey of both sides).

    Args:
        width: Size of the body's states.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.05)
        self.form = nn.Parameter(torch.empty(width, width))
        self.side = nn.Parameter(torch.empty(len(STANCES)))
        self.prompt = nn.Linear(width, _PRODUCTS)
        self.response = nn.Linear(width, _PRODUCTS)
        self.output = nn.Linear(3 * width + _PRODUCTS + 1, len(STANCES))
        self.reset()

    def reset(self) -> None:
        """The state in which training begins: closeness speaks for support, distance for opposition."""
        for layer in (self.prompt, self.response, self.output):
            layer.reset_parameters()
        with torch.no_grad():
            self.form.copy_(torch.eye(len(self.form)))
            self.side.copy_(_SIDE * torch.tensor([1.0, 0.0, -1.0]))
            self.output.weight.mul_(0.3)
            self.output.bias.copy_(-self.side / 2)

    def agreement(self, prompt: Tensor, response: Tensor) -> Tensor:
        """How far each response is on the side of its prompt, from mean states (…, width); shape (…)."""
        return ((unit(prompt) @ self.form) * unit(response)).sum(-1)

    def forward(self, prompt: Reading, response: Reading) -> Tensor:
        """Logits, shape (pairs, 3)."""
        asked, said = self.dropout(prompt.mean), self.dropout(response.mean)
        products = torch.tanh(self.prompt(asked)) * torch.tanh(self.response(said))
        closeness = (unit(prompt.mean) * unit(response.mean)).sum(-1, keepdim=True)
        stated = self.output(torch.cat([self.dropout(response.first), asked, said, products, closeness], dim=-1))
        return cast(Tensor, stated + self.agreement(prompt.mean, response.mean).unsqueeze(-1) * self.side)


def unit(states: Tensor) -> Tensor:
    """States at length 1, shape unchanged."""
    return nn.functional.normalize(states, dim=-1)


class StanceNetwork(nn.Module):
    """Logits over (support, neutral, oppose) for pairs whose prompt and response the body reads apart.

    Args:
        body: An encoder of transformers.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.head = StanceHead(cast(Any, body).config.hidden_size)

    def read(self, windows: Sequence[Window], pad: int, device: str = "cpu", tokens: int = BATCH_TOKENS) -> Reading:
        """Readings of windows in their order, worked out in batches of similar length, longest first so that memory is asked for once."""
        order = sorted(range(len(windows)), key=lambda row: (-len(windows[row]), row))
        readings: list[Reading] = []
        start = 0
        while start < len(order):
            size = max(1, tokens // len(windows[order[start]]))
            readings.append(self._read(*collate([windows[row] for row in order[start : start + size]], pad, device)))
            start += size
        place = torch.empty(len(order), dtype=torch.long)
        place[torch.tensor(order)] = torch.arange(len(order))
        return Reading(torch.cat([one.first for one in readings]), torch.cat([one.mean for one in readings])).rows(place.to(device))

    def _read(self, tokens: Tensor, mask: Tensor) -> Reading:
        states = self.body(input_ids=tokens, attention_mask=mask).last_hidden_state.float()
        weight = mask.unsqueeze(-1).float()
        return Reading(states[:, 0], (states * weight).sum(1) / weight.sum(1))


def load_body(folder: Path) -> nn.Module:
    """The frozen body from a folder in Hugging Face layout, any encoder that transformers knows, float32, without a pooler, which the head does not use.

    Raises:
        UserError: The folder is incomplete, holds no safetensors, or a model that is no encoder.
        DataError: The weights are not those of the model that the config describes, or not finite.
    """
    from transformers import MODEL_MAPPING, AutoConfig, AutoModel

    check_model(folder, AutoModel, dtype=torch.float32)
    with read_by_others("not loadable as an encoder", folder), quiet():
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        if config.is_encoder_decoder:
            raise UserError(f"a {config.model_type} is an encoder with a decoder", where=str(folder), fix=ENCODERS)
        kind = MODEL_MAPPING[type(config)]
        pooler = {"add_pooling_layer": False} if "add_pooling_layer" in signature(kind).parameters else {}
        body = kind.from_pretrained(folder, config=config, dtype=torch.float32, use_safetensors=True, local_files_only=True, **pooler)
    return cast(nn.Module, body).requires_grad_(False)


def add_adapters(body: nn.Module, rank: int, dropout: float = 0.0) -> dict[str, LowRank]:
    """Put a low-rank update on every linear layer of the encoder; returns them by the layer's name."""
    layers = {name: module for name, module in body.named_modules() if isinstance(module, nn.Linear)}
    adapters = {}
    for name, layer in layers.items():
        adapters[name] = LowRank(layer, rank, dropout)
        parent, _, child = name.rpartition(".")
        setattr(body.get_submodule(parent), child, adapters[name])
    return adapters


def save_weights(path: Path, network: StanceNetwork, adapters: Mapping[str, LowRank]) -> None:
    """Write adapters and head in half precision: the rounding is far below what training leaves to chance."""
    from safetensors.torch import save_file

    tensors = {f"head.{name}": tensor for name, tensor in network.head.state_dict().items()}
    for name, adapter in adapters.items():
        tensors |= {f"{name}.down": adapter.down.detach(), f"{name}.up": adapter.up.detach()}
    save_file({name: tensor.to(torch.float16).contiguous() for name, tensor in tensors.items()}, path)


def load_judge(body: nn.Module, path: Path) -> StanceNetwork:
    """A body with the head and the updates that a training wrote: one update for each linear layer, added to the layer's own weights.

    Args:
        body: As :func:`load_body` gives it.
        path: A file with ``head.…``, and ``<layer>.down`` (rank, in) and ``<layer>.up`` (out, rank).

    Raises:
        DataError: The file is missing, cut off, not finite, or of another network.
    """
    tensors = read_tensors(path)
    network = StanceNetwork(body)
    fill(network.head, {name.removeprefix("head."): tensors.pop(name) for name in list(tensors) if name.startswith("head.")}, path)
    merge_updates({name: layer for name, layer in body.named_modules() if isinstance(layer, nn.Linear)}, tensors, path)
    return network


def merge_updates(layers: Mapping[str, nn.Linear], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Add the updates that a training wrote to the weights of linear layers, one to each.

    Args:
        layers: By name.
        tensors: ``<layer>.down`` (rank, in) and ``<layer>.up`` (out, rank) of each, and no others.
        path: The file that they are from, for messages.

    Raises:
        DataError: One is missing, of no layer, or of another shape.
    """
    wanted = {f"{name}.{part}" for name in layers for part in ("down", "up")}
    if wrong := wanted ^ tensors.keys():
        raise DataError(f"{told(wrong)} missing, or of no layer of the body", where=str(path), fix="copy the judge or train it again")
    with torch.no_grad():
        for name, layer in layers.items():
            up, down = tensors[f"{name}.up"], tensors[f"{name}.down"]
            if (up.shape[0], down.shape[1], up.shape[1]) != (*layer.weight.shape, down.shape[0]):
                raise DataError(f"{told([name])} of another shape", where=str(path), fix="copy the judge or train it again")
            layer.weight += up @ down


def collate(windows: Sequence[Window], pad: int, device: str) -> tuple[Tensor, Tensor]:
    """Pad windows to the longest: token ids and mask (1 for real tokens), each (windows, length)."""
    longest = max(len(window) for window in windows)
    length = -(-longest // _LENGTH_STEP) * _LENGTH_STEP
    tokens = torch.full((len(windows), length), pad)
    mask = torch.zeros((len(windows), length), dtype=torch.long)
    for row, window in enumerate(windows):
        tokens[row, : len(window)] = torch.tensor(window)
        mask[row, : len(window)] = 1
    return tokens.to(device), mask.to(device)
