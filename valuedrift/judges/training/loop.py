"""The training loop: adapters and head only, on windows of about one size, repeatable from the seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor, nn

from valuedrift.judges.encoding import Encoder, Window
from valuedrift.judges.network import LowRank, StanceNetwork, collate
from valuedrift.judges.training.augment import Example
from valuedrift.progress import Progress
from valuedrift.stance import STANCES

_BATCH_TOKENS = 4096
"""A batch of long answers has fewer of them, so that memory stays below 2 GB."""
_JITTER = 16
"""Answers whose lengths differ by less are mixed at random among batches."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the weights are trained; chosen by the held-out packaged questions."""

    rank: int = 16
    """Rank of the adapters."""
    learning_rate: float = 2e-3
    """Peak of the adapters' learning rate (linear warm-up over a twentieth of the steps, then linear decay)."""
    head_learning_rate: float = 1e-3
    """The same of the heads."""
    sign_weight: float = 0.5
    """Weight of the loss on the signs of the drill."""
    epochs: int = 3
    """Passes; each draws new examples."""
    copies: int = 14
    """Examples that an issue gives an epoch."""
    drill: int = 6000
    """Short pairs about actions in an epoch of their own at the start; each later epoch has a quarter of that among the others."""
    batch: int = 32
    """Pairs a step, at most."""
    weight_decay: float = 0.01
    """AdamW's."""
    smoothing: float = 0.05
    """Label smoothing."""


class SignHeads(nn.Module):
    """Read the two signs of a drill pair off the pooled states, in training only.

    Without them the body finds the two signs so slowly that thousands of pairs leave it at chance: by itself neither sign says anything about the label.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.prompt = nn.Linear(width, 1)
        self.response = nn.Linear(width, 3)

    def loss(self, prompt: Tensor, response: Tensor, examples: Sequence[Example]) -> Tensor:
        """Mean loss of both signs over the pairs of a batch that have them; 0 if none has."""
        rows = [row for row, example in enumerate(examples) if example.signs is not None]
        if not rows:
            return prompt.new_zeros(())
        signs = torch.tensor([examples[row].signs for row in rows])
        asked = nn.functional.binary_cross_entropy_with_logits(self.prompt(prompt[rows])[:, 0], (signs[:, 0] > 0).float())
        return asked + nn.functional.cross_entropy(self.response(response[rows]), signs[:, 1] + 1)


def fit(
    network: StanceNetwork,
    adapters: dict[str, LowRank],
    encoder: Encoder,
    course: Sequence[Sequence[Example]],
    recipe: Recipe,
    seed: int,
    progress: Callable[[Progress], None],
) -> None:
    """Train the adapters and the head in place.

    Args:
        network: With adapters in its body.
        adapters: The adapters of its body.
        encoder: Cuts pairs into windows.
        course: The examples of each epoch.
        recipe: Steps and rates.
        seed: Seed of initial weights, dropout and order.
        progress: Called after every step.
    """
    torch.manual_seed(seed)
    for adapter in adapters.values():
        nn.init.normal_(adapter.down, std=adapter.down.shape[1] ** -0.5)
    for layer in (network.head.prompt, network.head.response, network.head.output):
        layer.reset_parameters()
    signs = SignHeads(network.head.prompt.in_features)
    random = Random(seed)
    batches = [batch for examples in course for batch in _batches(examples, encoder, recipe.batch, random)]
    heads, updates = [*network.head.parameters(), *signs.parameters()], [p for a in adapters.values() for p in (a.down, a.up)]
    groups = [{"params": heads, "lr": recipe.head_learning_rate}, {"params": updates, "lr": recipe.learning_rate}]
    optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
    total, warm_up = len(batches), max(1, len(batches) // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm_up, (total - step) / max(1, total - warm_up))
    )
    network.train()
    smooth = math.log(len(STANCES))
    for done, (examples, windows) in enumerate(batches, start=1):
        labels = torch.tensor([STANCES.index(example.stance) for example in examples])
        with torch.autocast("cpu", torch.bfloat16):
            first, prompt, response = network.pool(*collate(windows, encoder.pad, "cpu"))
        loss = nn.functional.cross_entropy(network.head(first, prompt, response), labels, label_smoothing=recipe.smoothing)
        smooth = 0.98 * smooth + 0.02 * float(loss.detach())
        loss = loss + recipe.sign_weight * signs.loss(prompt, response, examples)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch types it so
        nn.utils.clip_grad_norm_([*heads, *updates], 1.0)
        optimizer.step()
        schedule.step()
        progress(Progress(done, total, f"loss {smooth:.3f}"))
    network.eval()


def _batches(examples: Sequence[Example], encoder: Encoder, size: int, random: Random) -> list[tuple[list[Example], list[Window]]]:
    """Batches of pairs of similar length, in random order; of a long response only the first window is trained on."""
    windows = [found[0] for found in encoder.windows([example.prompt for example in examples], [example.response for example in examples])]
    order = sorted(range(len(examples)), key=lambda index: (len(windows[index].tokens) + random.randrange(_JITTER), index))
    batches, start = [], 0
    while start < len(order):
        longest = len(windows[order[min(start + size, len(order)) - 1]].tokens) + _JITTER
        chosen = order[start : start + max(1, min(size, _BATCH_TOKENS // longest))]
        start += len(chosen)
        batches.append(([examples[index] for index in chosen], [windows[index] for index in chosen]))
    random.shuffle(batches)
    return batches
