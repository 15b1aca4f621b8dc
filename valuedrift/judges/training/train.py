"""``valuedrift judge train``: from the packaged text to a folder with weights, temperature and held-out figures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from random import Random

import numpy as np
import torch

from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.judges.base import Judgement, Pair
from valuedrift.judges.cross_encoder import CrossEncoder, load_cross_encoder
from valuedrift.judges.network import windows
from valuedrift.judges.network.model import StanceNetwork, add_adapters, load_body, save_weights, unit
from valuedrift.judges.network.weights import BESIDE, WEIGHTS_FILE, Description, body_fingerprint, record_metrics, write_description
from valuedrift.judges.network.windows import Encoder
from valuedrift.judges.quality.scaling import fit_temperature
from valuedrift.judges.quality.validation import Validation, validate
from valuedrift.judges.training.augment import Augmenter, BesideGrids
from valuedrift.judges.training.grids import Step, StepLoss, make_step
from valuedrift.judges.training.loop import Recipe, fit
from valuedrift.judges.training.polarity import PolarityDrill
from valuedrift.judges.training.sources import Example, Issue, actions, issues, phrases, plain_examples
from valuedrift.models.resolve import resolve_model
from valuedrift.progress import Progress
from valuedrift.stance import STANCES, Stance
from valuedrift.starter import gold_prompts, instructions

BODY = "embedded:minilm"
HELD_OUT = "held-out packaged questions"
HELD_OUT_ALTERED = "held-out packaged questions, answers cut, quoted, buried or given a verdict"
_ALTERED_COPIES = 10
_ALTERED_SEED = 1
CLOSEST = 0.8
"""Cosine of two first wordings by the untrained body, from which on one tells about the other. Authors of different files had the same idea a few times."""


def held_out_examples() -> dict[str, list[Example]]:
    """The answers that no training sees, by what the figures on them are called: as written, and altered as in training with a seed of its own."""
    kept = [issue for issue in issues() if issue.held_out]
    return {HELD_OUT: plain_examples(kept), HELD_OUT_ALTERED: _augmenter(kept, _ALTERED_SEED).epoch(_ALTERED_COPIES)}


def course(seen: Sequence[Issue], recipe: Recipe, seed: int) -> list[Step]:
    """All steps: in each epoch every issue with two sides once, and beside them, in equal parts, examples of every issue and drills."""
    random = Random(seed)
    beside, drill = BesideGrids(seen, phrases(), distractors(), seed), PolarityDrill(actions(held_out=False), phrases(), seed)
    sided = [issue for issue in seen if issue.has_sides]
    steps = []
    for _ in range(recipe.epochs):
        order = random.sample(sided, len(sided))
        others = [example for issue in seen for example in beside.draw(issue)]
        others += drill.draw(round(recipe.drill * len(sided)), reasoned=0.5)
        random.shuffle(others)
        count = -(-len(order) // recipe.issues)
        steps += [make_step(order[part::count], others[part::count], random) for part in range(count)]
    return steps


def without_near_held_out(issues: Sequence[Issue], untrained: StanceNetwork, encoder: Encoder) -> list[Issue]:
    """The issues that may be learnt from, in their order: not held out, and no wording closer than :data:`CLOSEST` to a gold prompt or a held-out first one.

    Args:
        issues: All issues.
        untrained: Network whose body is as it was found.
        encoder: Cuts texts into windows.
    """
    held, seen = ([issue for issue in issues if issue.held_out is value] for value in (True, False))
    wordings = [(place, wording.text) for place, issue in enumerate(seen) for wording in issue.wordings]

    def read(texts: Sequence[str]) -> torch.Tensor:
        return unit(untrained.read(encoder.prompts(texts), encoder.pad).mean)

    with torch.inference_mode():
        kept = read([*(issue.wordings[0].text for issue in held), *sorted(gold_prompts())])
        closest = (read([text for _, text in wordings]) @ kept.T).max(dim=1).values.tolist()
    near = {place for (place, _), cosine in zip(wordings, closest, strict=True) if cosine > CLOSEST}
    return [issue for place, issue in enumerate(seen) if place not in near]


def learnt_from(everything: Sequence[Issue]) -> list[Issue]:
    """See :func:`without_near_held_out`, by the embedded encoder as it is."""
    folder = resolve_model(BODY)
    return without_near_held_out(everything, StanceNetwork(load_body(folder)).eval(), Encoder(folder))


def train_judge(
    out: Path, *, seed: int = 0, recipe: Recipe | None = None, progress: Callable[[Progress], None] = lambda _: None
) -> list[Validation]:
    """Train the cross-encoder on the packaged text alone, calibrate it on the held-out questions, and measure it there.

    Args:
        out: Folder to write; an older one of the same name is replaced when the training is done.
        seed: Seed of initial weights, examples and order; the same seed gives the same weights on the same machine.
        recipe: How to train; default: the recipe of the shipped weights.
        progress: Called after every step.

    Returns:
        The held-out figures, as written and altered; they are also in the folder's ``metrics.json``.

    Raises:
        UserError: The body is not installed, or ``out`` cannot be written.
    """
    with written_whole(out) as part:
        _train_into(part, seed, recipe or Recipe(), progress)
        return measure(part)


@contextmanager
def written_whole(out: Path) -> Iterator[Path]:
    """A folder to write into beside the one that is wanted, which it replaces when all went well; other files there (the shipped data card) stay.

    Raises:
        UserError: ``out`` cannot be written.
    """
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
    except OSError as error:
        raise UserError(
            f"cannot write: {error.strerror or error}", where=str(out), fix="give a folder in a place that can be written to"
        ) from error
    try:
        yield part
        out.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(out / BESIDE, ignore_errors=True)
        for path in part.iterdir():
            path.replace(out / path.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _train_into(folder: Path, seed: int, recipe: Recipe, progress: Callable[[Progress], None]) -> None:
    body_folder, everything = resolve_model(BODY), issues()
    encoder, network = Encoder(body_folder), StanceNetwork(load_body(body_folder))
    seen = without_near_held_out(everything, network.eval(), encoder)
    adapters = add_adapters(network.body, recipe.rank)
    fit(network, adapters, course(seen, recipe, seed), StepLoss(network, encoder, recipe.smoothing), recipe, seed, progress)
    save_weights(folder / WEIGHTS_FILE, network, adapters)
    kept = [example for examples in held_out_examples().values() for example in examples]
    description = Description(
        body=BODY,
        body_fingerprint=body_fingerprint(body_folder),
        temperature=1.0,
        encoding=windows.VERSION,
        seed=seed,
        recipe={name: float(value) for name, value in asdict(recipe).items()},
        data_fingerprint=data_fingerprint(everything),
    )
    write_description(folder, description)
    judge = load_cross_encoder(CrossEncoder(weights=str(folder)))
    logits = judge.logits(as_pairs(kept))
    labels = np.array([STANCES.index(example.stance) for example in kept])
    write_description(folder, description.model_copy(update={"temperature": fit_temperature(logits, labels)}))


def data_fingerprint(everything: Sequence[Issue]) -> str:
    """Content hash of the text that is learnt from."""
    return fingerprint([[w.text for w in issue.wordings] + [a.text for a in issue.answers] for issue in everything] + [dict(phrases())])


def _augmenter(chosen: Sequence[Issue], seed: int) -> Augmenter:
    return Augmenter(chosen, phrases(), distractors(), seed)


def distractors() -> list[str]:
    """Texts that speak to no issue."""
    return [row["response"] for row in instructions()]


def measure(folder: Path) -> list[Validation]:
    """Measure weights on the held-out answers, as written and altered, and record the figures beside them, by kind of wording and answer as well.

    Args:
        folder: Weights as :func:`train_judge` writes them.
    """
    judge = load_cross_encoder(CrossEncoder(weights=str(folder)))
    return record(folder, judge.name, {name: judge.judge(as_pairs(examples)) for name, examples in held_out_examples().items()})


def record(folder: Path, judge: str, judged: Mapping[str, Sequence[Judgement]]) -> list[Validation]:
    """Record figures beside weights, by kind of wording and answer as well.

    Args:
        folder: Where the weights lie.
        judge: Name of the judge.
        judged: Its judgements of all held-out examples, by what the figures on them are called.
    """
    measured = []
    for name, examples in held_out_examples().items():
        judgements = judged[name]
        measured.append(_compared(judgements, examples))
        kinds: dict[str, list[int]] = {}
        for row, example in enumerate(examples):
            kinds.setdefault("neutral" if example.stance is Stance.NEUTRAL else example.kind, []).append(row)
        by_kind = {}
        for kind, rows in sorted(kinds.items()):
            flat = _compared([judgements[row] for row in rows], [examples[row] for row in rows]).flat(judge, kind)
            by_kind[kind] = {key: flat[key] for key in ("n", "accuracy", "accuracy_low", "accuracy_high")}
        record_metrics(folder, {**measured[-1].flat(judge, name), "by_kind": by_kind})
    return measured


def _compared(judgements: Sequence[Judgement], examples: Sequence[Example]) -> Validation:
    return validate(judgements, [example.stance.value for example in examples], [example.group for example in examples])


def as_pairs(examples: Sequence[Example]) -> list[Pair]:
    """Examples as a judge takes them."""
    return [Pair(id=example.group, prompt=example.prompt, response=example.response) for example in examples]
