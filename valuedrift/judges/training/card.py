"""What a distilled judge is worth, measured, and its data card: ``metrics.json`` and ``README.md`` beside its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from valuedrift.judges.base import Judgement, Pair
from valuedrift.judges.calibrated import probabilities
from valuedrift.judges.cross_encoder import CrossEncoder, load_cross_encoder
from valuedrift.judges.network.weights import LATEST, read_description, record_metrics
from valuedrift.judges.quality.validation import mean_figure, validate
from valuedrift.judges.training.lessons import Lesson, Lessons
from valuedrift.stance import STANCES, JudgeStatus
from valuedrift.starter import gold_prompts, packaged_gold
from valuedrift.words import counted, interval, plain

CARD = "README.md"
AGREEMENT = "held-out questions, as the teacher judges them"
GOLD = "the packaged gold set"
ONE_SIDED = 0.95
"""Share of the teacher's most frequent verdict from which on agreement says little."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a student was made of, for its card.

    Attributes:
        teacher: Name and kind of the teacher.
        teacher_identity: Fingerprint of what it is; empty where nothing says.
        answers: Where the answers are from.
        left_out: Answers without a stance by the teacher, by status.
        from_shipped: Whether the shipped judge's adapters were what training began with.
        rates: How it was trained.
    """

    teacher: str
    teacher_identity: str
    answers: str
    left_out: Mapping[str, int]
    from_shipped: bool
    rates: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of a student, as :meth:`valuedrift.judges.quality.validation.Validation.flat` makes them.

    Attributes:
        agreement: With the teacher on held-out questions, by whole questions resampled; ``distance`` is the mean total variation between both distributions.
        before: The same of the judge that training began with; None where it began with the body alone.
        gold: On the packaged gold set, whose labels are its authors'.
        most_frequent: Share of the teacher's most frequent verdict on the held-out questions: what always saying so would agree in.
    """

    agreement: dict[str, Any]
    before: dict[str, Any] | None
    gold: dict[str, Any]
    most_frequent: float

    def flat(self) -> dict[str, Any]:
        """One JSON-able object."""
        return {"agreement": self.agreement, "before": self.before, "gold": self.gold, "most_frequent": round(self.most_frequent, 4)}


def measure_student(folder: Path, lessons: Lessons, *, from_shipped: bool) -> Measured:
    """Measure a student against its teacher and on the packaged gold set, and record the figures beside its weights.

    Args:
        folder: As :func:`valuedrift.judges.training.distil.distil` writes it.
        lessons: What it learnt from, and what was held out.
        from_shipped: Whether it began as the shipped judge.
    """
    student = CrossEncoder(weights=str(folder))
    verdicts = [lesson.verdict for lesson in lessons.held_out]
    rows = [json.loads(line) for line in packaged_gold().read_text(encoding="utf-8").splitlines()]
    judge = load_cross_encoder(student)
    gold = judge.judge([Pair(str(row), one["prompt"], one["response"]) for row, one in enumerate(rows)])
    measured = Measured(
        agreement=_agreement(judge.judge([lesson.pair for lesson in lessons.held_out]), lessons.held_out, student.name),
        before=_agreement(
            load_cross_encoder(CrossEncoder(weights=LATEST)).judge([lesson.pair for lesson in lessons.held_out]),
            lessons.held_out,
            LATEST,
        )
        if from_shipped
        else None,
        gold=validate(gold, [row["stance"] for row in rows], [row["prompt"] for row in rows]).flat(student.name, GOLD),
        most_frequent=max(verdicts.count(stance) for stance in STANCES) / len(verdicts),
    )
    for figures in (measured.agreement, measured.gold):
        record_metrics(folder, figures)
    return measured


def _agreement(judgements: Sequence[Judgement], lessons: Sequence[Lesson], name: str) -> dict[str, Any]:
    """How far some judgements agree with the teacher's."""
    flat = validate(judgements, [lesson.verdict.value for lesson in lessons], [lesson.question for lesson in lessons]).flat(name, AGREEMENT)
    both = [row for row, one in enumerate(judgements) if one.status is JudgeStatus.OK]
    if not both:
        return flat | {"distance": None, "distance_low": None, "distance_high": None}
    apart = np.abs(probabilities([judgements[row] for row in both]) - np.array([lessons[row].stance for row in both])).sum(1) / 2
    distance = mean_figure(apart, [lessons[row].question for row in both], np.ones(len(both)))
    ends = {"distance": distance.value, "distance_low": distance.low, "distance_high": distance.high}
    return flat | {key: None if value is None else round(value, 4) for key, value in ends.items()}


def write_card(folder: Path, title: str, origin: Origin, lessons: Lessons, measured: Measured) -> None:
    """Write the data card.

    Args:
        folder: Of the student.
        title: What it is called: the name of the folder that it will lie in.
        origin: What it was made of.
        lessons: What it learnt from, and what was held out.
        measured: Its figures.
    """
    (folder / CARD).write_text(_card(folder, title, origin, lessons, measured), encoding="utf-8")


def _card(folder: Path, title: str, origin: Origin, lessons: Lessons, measured: Measured) -> str:
    description = read_description(folder)
    counts = ", ".join(f"{stance.value} {count}" for stance, count in lessons.counts().items())
    left_out = ", ".join(f"{count} {status}" for status, count in origin.left_out.items()) or "none"
    began = (
        f"Training began with the packaged judge's adapters and head (`{LATEST}`)."
        if origin.from_shipped
        else "Training began with the body as it is, fresh adapters and a fresh head."
    )
    before = [(f"`{LATEST}`, with which training began", measured.before)] if measured.before else []
    agreement = "\n".join(_row(name, figures) for name, figures in [("this judge", measured.agreement), *before])
    by_class = "\n".join(_class(stance, one) for stance, one in measured.agreement["per_class"].items())
    gold = " | ".join(_figure(measured.gold, key) for key in ("accuracy", "macro_f1", "kappa", "calibration_error"))
    recipe = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in origin.rates.items())
    identity = f", identity `{origin.teacher_identity}`" if origin.teacher_identity else ""
    learnt, kept = map(_counts, (lessons.seen, lessons.held_out))
    share = measured.most_frequent
    alike = f"**The teacher says the same of {share:.0%} of the held-out answers.** A judge that reads nothing agrees as often: look at κ."
    one_sided = f"\n\n{alike}" if share >= ONE_SIDED else ""
    return f"""# Data card: {title}

A small judge that learnt from another one, its teacher, by `valuedrift judge distil`: low-rank adapters on `{description.body}` and a head
(`weights.safetensors`), what they belong to (`judge.json`), figures (`metrics.json`).

## How it was made

- Teacher: {origin.teacher}{identity}.
- Answers: {origin.answers}. {len(lessons.seen) + len(lessons.held_out):,} with a stance by the teacher ({counts}); left out, without one: {left_out}.
- Learnt from {learnt}.
- Held out {kept}, whole, with their opposite wordings, chosen by a hash of their texts.
- {began}
- Recipe: {recipe}; seed {description.seed}. The target is the teacher's whole distribution.
- The temperature ({description.temperature:g}) was fitted on the held-out answers: one number, which changes no verdict.

## Agreement with the teacher, on held-out questions (95% intervals, whole questions resampled)

| | n | same verdict | macro-F1 | κ | distance of the distributions |
|---|---|---|---|---|---|
{agreement}
| always the teacher's most frequent verdict | {len(lessons.held_out):,} | {share:.3f} | | 0 | |

| the teacher says | n | found (recall) | right where said (precision) |
|---|---|---|---|
{by_class}

The distance is the mean total variation, 0 to 1.{one_sided}

**This is agreement with the teacher, not with people.** Where the teacher is wrong, this judge has learnt to be wrong; no figure here says how often that
is. Label answers of your own and measure both: `valuedrift labels draw STUDY`, then `valuedrift judge compare --study STUDY`.

## On the packaged gold set (labels by its authors)

| n | accuracy | macro-F1 | κ | calibration error |
|---|---|---|---|---|
| {measured.gold["n"]} | {gold} |

{_beside_gold(lessons)}`valuedrift judge compare --judge TEACHER --judge floor.yaml` puts both beside each other on it.

## How to use it, and where not

```yaml
judges:
  - {{type: cascade, name: both, cheap: floor, strong: teacher, share: 0.05}}   # corrected by what the teacher says of a sample
  - {{type: cross-encoder, name: floor, weights: {title}}}
```

It is for answers like those it learnt from: the same topics, the same models, the same language. On others it is worth what its figures on the gold set
say, or less. By itself it is good for a first look; a number that matters comes from a cascade with the teacher, or is corrected by people's labels.
"""


def _beside_gold(lessons: Lessons) -> str:
    """What the gold set is to a judge that may have learnt from it."""
    known = len({lesson.prompt for lesson in lessons} & gold_prompts())
    if known:
        return f"**{counted(known, 'question')} of the gold set stood among the answers above: these figures flatter the judge.** "
    return "English, and of other questions than those above: "


def _counts(lessons: Sequence[Lesson]) -> str:
    return f"{counted(len(lessons), 'answer')} to {counted(len({lesson.question for lesson in lessons}), 'question')}"


def _row(name: str, figures: Mapping[str, Any]) -> str:
    return f"| {name} | {figures['n']:,} | {' | '.join(_figure(figures, key) for key in ('accuracy', 'macro_f1', 'kappa', 'distance'))} |"


def _class(stance: str, figures: Mapping[str, Any]) -> str:
    return f"| {stance} | {figures['n']} | {_figure(figures, 'recall')} | {_figure(figures, 'precision')} |"


def _figure(figures: Mapping[str, Any], key: str) -> str:
    """A figure with its interval, in words."""
    value, low, high = (figures[f"{key}{end}"] for end in ("", "_low", "_high"))
    return plain(value, 3) if value is None or low is None else f"{value:.3f} {interval(low, high, 3)}"
