"""The training loop: adapters and head only, repeatable from the seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from valuedrift.judges.network.model import LowRank, StanceNetwork
from valuedrift.progress import Progress

LearntAtOnce = TypeVar("LearntAtOnce")


@dataclass(frozen=True, slots=True)
class Rates:
    """How adapters and head are trained, whatever they learn from."""

    rank: int = 18
    """Rank of the adapters."""
    learning_rate: float = 2.5e-3
    """Peak of the adapters' learning rate (linear warm-up over a twentieth of the steps, then linear decay)."""
    head_learning_rate: float = 1e-3
    """The same of the head."""
    epochs: int = 3
    """Passes over what is learnt from."""
    dropout: float = 0.1
    """Dropout of the body's states."""
    weight_decay: float = 0.01
    """AdamW's."""


@dataclass(frozen=True, slots=True)
class Recipe(Rates):
    """How the shipped weights are trained, chosen by the held-out packaged questions; each pass over the issues draws new examples beside them."""

    issues: int = 8
    """Issues a step."""
    drill: float = 0.5
    """Drills about actions that go with an issue, on average."""
    smoothing: float = 0.05
    """Label smoothing."""


def fit(
    network: StanceNetwork,
    adapters: dict[str, LowRank],
    steps: Sequence[LearntAtOnce],
    loss_of: Callable[[LearntAtOnce], Tensor],
    recipe: Rates,
    seed: int,
    progress: Callable[[Progress], None],
    *,
    fresh: bool = True,
) -> None:
    """Train the adapters and the head in place.

    Args:
        network: With adapters in its body.
        adapters: The adapters of its body.
        steps: What each step learns from.
        loss_of: The loss of a step.
        recipe: Rates.
        seed: Seed of initial weights and dropout.
        progress: Called after every step.
        fresh: Whether adapters and head begin anew, and not as they are.
    """
    torch.manual_seed(seed)
    if fresh:
        for adapter in adapters.values():
            nn.init.normal_(adapter.down, std=adapter.down.shape[1] ** -0.5)
        network.head.reset()
    for name, module in network.body.named_modules():
        if isinstance(module, nn.Dropout):  # dropout of attention weights would keep torch from its fast attention
            module.p = 0.0 if name.endswith("attention.self.dropout") else recipe.dropout
    heads, updates = list(network.head.parameters()), [p for a in adapters.values() for p in (a.down, a.up)]
    groups = [{"params": heads, "lr": recipe.head_learning_rate}, {"params": updates, "lr": recipe.learning_rate}]
    optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
    total, warm_up = len(steps), max(1, len(steps) // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm_up, (total - step) / max(1, total - warm_up))
    )
    smooth = math.nan
    network.train()
    for done, step in enumerate(steps, start=1):
        loss = loss_of(step)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch types it so
        nn.utils.clip_grad_norm_([*heads, *updates], 1.0)
        optimizer.step()
        schedule.step()
        value = float(loss.detach())
        smooth = value if math.isnan(smooth) else 0.95 * smooth + 0.05 * value
        progress(Progress(done, total, f"loss {smooth:.3f}"))
    network.eval()
