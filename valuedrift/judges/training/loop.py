"""The training loop: adapters and head only, on windows of about one size, repeatable from the seed."""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the weights are trained; chosen by the held-out packaged questions."""

    rank: int = 16
    """Rank of the adapters."""
    learning_rate: float = 1e-3
    """Peak of the learning rate (linear warm-up over a twentieth of the steps, then linear decay)."""
    epochs: int = 3
    """Passes; each draws new examples."""
    copies: int = 15
    """Examples that an issue gives an epoch."""
    batch: int = 32
    """Pairs a step."""
    weight_decay: float = 0.01
    """AdamW's."""
    smoothing: float = 0.05
    """Label smoothing."""


def fit(
    network: StanceNetwork,
    adapters: dict[str, LowRank],
    encoder: Encoder,
    draw: Callable[[int], list[Example]],
    recipe: Recipe,
    seed: int,
    progress: Callable[[Progress], None],
) -> None:
    """Train the adapters and the head in place.

    Args:
        network: With adapters in its body.
        adapters: The adapters of its body.
        encoder: Cuts pairs into windows.
        draw: Given the number of copies, the examples of the next epoch.
        recipe: Steps and rates.
        seed: Seed of initial weights, dropout and order.
        progress: Called after every step.
    """
    torch.manual_seed(seed)
    for adapter in adapters.values():
        nn.init.normal_(adapter.down, std=adapter.down.shape[1] ** -0.5)
    nn.init.normal_(network.head.weight, std=0.02)
    nn.init.zeros_(network.head.bias)
    random = Random(seed)
    epochs = [_batches(draw(recipe.copies), encoder, recipe.batch, random) for _ in range(recipe.epochs)]
    total = sum(len(batches) for batches in epochs)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    warm_up = max(1, total // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm_up, (total - step) / max(1, total - warm_up))
    )
    network.train()
    done, smooth = 0, 1.1
    for batches in epochs:
        for windows, labels in batches:
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(*collate(windows, encoder.pad, "cpu"))
            loss = nn.functional.cross_entropy(logits.float(), labels, label_smoothing=recipe.smoothing)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call] # torch types it so
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            done += 1
            smooth = 0.98 * smooth + 0.02 * float(loss)
            progress(Progress(done, total, f"loss {smooth:.3f}"))
    network.eval()


def _batches(examples: Sequence[Example], encoder: Encoder, size: int, random: Random) -> list[tuple[list[Window], Tensor]]:
    """Batches of pairs of similar length, in random order; of a long response only the first window is trained on."""
    windows = [found[0] for found in encoder.windows([example.prompt for example in examples], [example.response for example in examples])]
    order = sorted(range(len(examples)), key=lambda index: (len(windows[index].tokens) + random.randrange(16), index))
    batches = []
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        labels = torch.tensor([STANCES.index(examples[index].stance) for index in chosen])
        batches.append(([windows[index] for index in chosen], labels))
    random.shuffle(batches)
    return batches
