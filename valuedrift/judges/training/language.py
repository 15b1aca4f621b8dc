"""How the embedded language model learns to judge: small updates on its upper layers and a head, in two parts.

First short answers and the statements themselves teach what is asked, then whole answers do; see :mod:`valuedrift.judges.training.turns`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from valuedrift.judges.base import Judgement
from valuedrift.judges.embedded_lm import EMBEDDED_LM, EmbeddedLM
from valuedrift.judges.language.body import Body, body_fingerprint, load_body, pack
from valuedrift.judges.language.model import StanceReader, updated_layers
from valuedrift.judges.language.segments import Segmenter
from valuedrift.judges.network.model import LowRank
from valuedrift.judges.network.weights import DESCRIPTION_FILE, WEIGHTS_FILE, Description
from valuedrift.judges.quality.scaling import fit_temperature
from valuedrift.judges.quality.validation import Validation
from valuedrift.judges.training.grids import centred
from valuedrift.judges.training.sources import issues
from valuedrift.judges.training.train import (
    as_pairs,
    data_fingerprint,
    held_out_examples,
    learnt_from,
    record,
    written_whole,
)
from valuedrift.judges.training.turns import Turn, course, easy_course
from valuedrift.models.resolve import resolve_model
from valuedrift.progress import Progress
from valuedrift.stance import STANCES, JudgeStatus

_LAST_RATE = 0.02
"""Share of the peak rate below which it does not fall."""


@dataclass(frozen=True, slots=True)
class LanguageRecipe:
    """How the weights are trained."""

    rank: int = 8
    """Rank of the updates."""
    scale: float = 2.0
    """What the updates are multiplied by; it is in them when they are saved."""
    easy: int = 300
    """Turns with short answers and statements that come first."""
    easy_learning_rate: float = 1e-3
    """Of the updates in them, after a warm-up."""
    learning_rate: float = 8e-4
    """Peak of it after them (linear warm-up over a twentieth of the steps, then linear decay)."""
    head_learning_rate: float = 2e-3
    """The same of the head, in both parts."""
    epochs: float = 2.4
    """Passes over the issues after the easy part; of a part of one, so many issues are drawn."""
    turns: int = 2
    """Turns a step."""
    sides: float = 1.0
    """Weight of the loss of sides."""
    others: float = 0.7
    """Weight of the loss of the examples beside a turn."""
    drill: float = 0.5
    """Drills about actions among those, for every issue."""
    weight_decay: float = 0.01
    """AdamW's."""
    smoothing: float = 0.05
    """Label smoothing."""


class TurnLoss:
    """Losses of turns.

    Args:
        reader: What is trained.
        segmenter: Makes segments of texts.
        recipe: Weights of the parts.
    """

    def __init__(self, reader: StanceReader, segmenter: Segmenter, recipe: LanguageRecipe) -> None:
        self._reader, self._segmenter, self._recipe = reader, segmenter, recipe

    def __call__(self, turn: Turn) -> Tensor:
        """The sum of three means: the stance of each answer on each wording (neutral ones by half), the side within the issue, the stance of the others."""
        recipe = self._recipe
        logits, others = self.logits(turn)
        labels = torch.tensor(turn.signs)[:, None] * torch.tensor([1, -1])
        weight = torch.where(labels == 0, 0.5, 1.0).flatten()
        stances = nn.functional.cross_entropy(
            logits.flatten(0, 1), (1 - labels).flatten(), label_smoothing=recipe.smoothing, reduction="none"
        )
        sided = labels[:, 0] != 0
        within = centred((logits[..., 0] - logits[..., 2])[sided])
        total = (stances * weight).sum() / weight.sum() + recipe.sides * nn.functional.softplus(-within * labels[sided]).mean()
        if not turn.others:
            return total
        stated = torch.tensor([STANCES.index(example.stance) for example in turn.others])
        return total + recipe.others * nn.functional.cross_entropy(others, stated, label_smoothing=recipe.smoothing)

    def logits(self, turn: Turn) -> tuple[Tensor, Tensor]:
        """Of answers against wordings (answers, 2, 3), and of the others (others, 3)."""
        said = self._segmenter.answers([*turn.answers, *(example.response for example in turn.others)])
        asked = self._segmenter.prompts([*turn.wordings, *(example.prompt for example in turn.others)])
        split = len(turn.answers)
        rows = [[answer, *asked[:2]] for answer in said[:split]]
        rows += [[answer, prompt] for answer, prompt in zip(said[split:], asked[2:], strict=True)]
        logits = self._reader(pack(rows))
        return logits[: 2 * split].view(split, 2, -1), logits[2 * split :]


class _HalfLinear(nn.Linear):
    """A linear layer whose weights are kept in bfloat16, which is rounded enough to learn beside and takes half the memory."""

    def __init__(self, layer: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight = nn.Parameter(layer.weight.detach().bfloat16(), requires_grad=False)
        self.register_parameter("bias", None)

    def forward(self, input: Tensor) -> Tensor:
        """The layer's output in float32, shape (…, out)."""
        return nn.functional.linear(input.bfloat16(), self.weight).float()


def add_updates(body: Body, recipe: LanguageRecipe) -> dict[str, LowRank]:
    """Put an update on every linear layer of the upper layers, and all linear layers in bfloat16; returns the updates by the layer's name."""
    upper = updated_layers(body)
    updates = {}
    for name, layer in [(name, module) for name, module in body.named_modules() if isinstance(module, nn.Linear)]:
        half: nn.Module = _HalfLinear(layer)
        if name in upper:
            half = updates[name] = LowRank(_HalfLinear(layer), recipe.rank, scale=recipe.scale)
        parent, _, child = name.rpartition(".")
        setattr(body.get_submodule(parent), child, half)
    return updates


def fit(
    reader: StanceReader,
    updates: dict[str, LowRank],
    loss_of: Callable[[Turn], Tensor],
    parts: Sequence[Sequence[Turn]],
    recipe: LanguageRecipe,
    progress: Callable[[Progress], None],
) -> None:
    """Train the updates and the head in place.

    Args:
        reader: With updates in its body.
        updates: Those.
        loss_of: Loss of a turn.
        parts: The easy turns, and those after them.
        recipe: Rates.
        progress: Called after every turn.
    """
    trained = [parameter for update in updates.values() for parameter in (update.down, update.up)]
    total, done, smooth = sum(map(len, parts)), 0, math.nan
    for easy, turns in zip((True, False), parts, strict=True):
        rate = recipe.easy_learning_rate if easy else recipe.learning_rate
        groups = [{"params": trained, "lr": rate}, {"params": list(reader.head.parameters()), "lr": recipe.head_learning_rate}]
        optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
        steps = -(-len(turns) // recipe.turns)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _warm(steps) if easy else _warm_then_falling(steps))
        for start in range(0, len(turns), recipe.turns):
            some = turns[start : start + recipe.turns]
            for turn in some:
                loss = loss_of(turn)
                (loss / len(some)).backward()  # type: ignore[no-untyped-call] # torch types it so
                value = float(loss.detach())
                smooth = value if math.isnan(smooth) else 0.97 * smooth + 0.03 * value
                done += 1
                progress(Progress(done, total, f"loss {smooth:.3f}"))
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()


def _warm(steps: int) -> Callable[[int], float]:
    """Share of the rate: up over a quarter of the steps, then as it is."""
    return lambda step: min(1.0, (step + 1) / max(1, steps // 4))


def _warm_then_falling(steps: int) -> Callable[[int], float]:
    """Share of the rate: up over a twentieth of the steps, and down to nearly nothing over all of them."""
    return lambda step: min((step + 1) / max(1, steps // 20), max(_LAST_RATE, (steps - step) / steps))


def train_into(folder: Path, *, seed: int, recipe: LanguageRecipe, progress: Callable[[Progress], None]) -> None:
    """Train on the packaged text alone, and write the weights, with temperature 1.

    Args:
        folder: Where to.
        seed: Seed of initial weights, examples and order.
        recipe: How to train.
        progress: Called after every turn.
    """
    everything, body_folder = issues(), resolve_model(str(EMBEDDED_LM.body))
    seen = learnt_from(everything)
    torch.manual_seed(seed)
    reader = StanceReader(load_body(body_folder))
    nn.init.normal_(reader.head.weight, std=0.02)
    nn.init.zeros_(reader.head.bias)
    updates = add_updates(reader.body, recipe)
    parts = easy_course(seen, recipe.easy, seed), course(seen, recipe.epochs, recipe.drill, seed)
    fit(reader, updates, TurnLoss(reader, Segmenter(body_folder), recipe), parts, recipe, progress)
    save_updates(folder / WEIGHTS_FILE, reader, updates)
    description = Description(
        body=str(EMBEDDED_LM.body),
        body_fingerprint=body_fingerprint(body_folder),
        temperature=1.0,
        encoding=EMBEDDED_LM.encoding,
        seed=seed,
        recipe={name: float(value) for name, value in asdict(recipe).items()},
        data_fingerprint=data_fingerprint(everything),
    )
    _describe(folder, description)


def train_language_judge(
    out: Path, *, seed: int = 0, recipe: LanguageRecipe | None = None, progress: Callable[[Progress], None] = lambda _: None
) -> list[Validation]:
    """Train the embedded language model as a judge on the packaged text alone, calibrate it on the held-out questions, and measure it there.

    Args:
        out: Folder to write; an older one of the same name is replaced when all is done.
        seed: Seed of initial weights, examples and order.
        recipe: How to train; default: the recipe of the shipped weights.
        progress: Called after every turn, and while it is measured.

    Returns:
        The held-out figures, as written and altered; they are also in the folder's ``metrics.json``.

    Raises:
        UserError: A body is not installed, or ``out`` cannot be written.
    """
    with written_whole(out) as part:
        train_into(part, seed=seed, recipe=recipe or LanguageRecipe(), progress=progress)
        return calibrate_and_measure(part, progress)


def calibrate_and_measure(folder: Path, progress: Callable[[Progress], None] = lambda _: None) -> list[Validation]:
    """Fit the temperature on the held-out answers, and record the figures there, from one reading of them.

    Args:
        folder: Weights as :func:`train_into` writes them; whatever temperature they had is replaced.
        progress: Called with how many answers are read.
    """
    description = Description.model_validate_json((folder / DESCRIPTION_FILE).read_bytes())
    _describe(folder, description.model_copy(update={"temperature": 1.0}))
    judge = EmbeddedLM(weights=str(folder)).load()
    examples = held_out_examples()
    plain = {name: judge.judge(as_pairs(some), progress) for name, some in examples.items()}
    judged = [
        (judgement, STANCES.index(example.stance))
        for name, some in examples.items()
        for judgement, example in zip(plain[name], some, strict=True)
        if judgement.status is JudgeStatus.OK
    ]
    logits = np.array([_log_probabilities(judgement) for judgement, _ in judged])
    temperature = fit_temperature(logits, np.array([label for _, label in judged]))
    _describe(folder, description.model_copy(update={"temperature": temperature}))
    return record(folder, judge.name, {name: [_tempered(one, temperature) for one in some] for name, some in plain.items()})


def _log_probabilities(judgement: Judgement) -> list[float]:
    """Of support, neutral, oppose: logits but for a constant."""
    return [math.log(max(p or 0.0, 1e-30)) for p in (judgement.p_support, judgement.p_neutral, judgement.p_oppose)]


def _tempered(judgement: Judgement, temperature: float) -> Judgement:
    """A judgement made at temperature 1, at another."""
    if judgement.status is not JudgeStatus.OK:
        return judgement
    p = torch.softmax(torch.tensor(_log_probabilities(judgement), dtype=torch.float64) / temperature, 0).tolist()
    return Judgement(p[0], p[1], p[2], judgement.unassigned, judgement.status)


def save_updates(path: Path, reader: StanceReader, updates: dict[str, LowRank]) -> None:
    """Updates and head in half precision: the rounding is far below what training leaves to chance."""
    from safetensors.torch import save_file

    tensors = {f"head.{name}": tensor for name, tensor in reader.head.state_dict().items()}
    for name, update in updates.items():
        tensors |= {f"{name}.down": update.down.detach(), f"{name}.up": update.scale * update.up.detach()}
    save_file({name: tensor.to(torch.float16).contiguous() for name, tensor in tensors.items()}, path)


def _describe(folder: Path, description: Description) -> None:
    (folder / DESCRIPTION_FILE).write_text(description.model_dump_json(indent=1) + "\n", encoding="utf-8")
