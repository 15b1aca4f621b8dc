"""Answers that people labelled, with what a judge says of them: from a file that is judged now, or from a study that is judged already."""

from __future__ import annotations

import time
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valuedrift.flows.cli.app import resolve_root
from valuedrift.flows.cli.console import progress_bar
from valuedrift.flows.cli.naming import DEFAULT_JUDGE, judge_config
from valuedrift.words import counted

if TYPE_CHECKING:
    from valuedrift.judges.base import Judgement
    from valuedrift.judges.registry import JudgeConfig

GoldArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="GOLD",
        help="CSV, JSONL or Parquet, local or s3://, with prompt, response and stance (support, neutral, oppose, refused) by people.",
        show_default=False,
    ),
]
TriedOnArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[GOLD]",
        help="CSV, JSONL or Parquet, local or s3://, with prompt, response and stance (support, neutral, oppose, refused) by people. "
        "Without it: the packaged gold set, on which no judge here was trained.",
        show_default=False,
    ),
]
StudyOption = Annotated[
    str | None,
    typer.Option(
        "--study",
        help="Instead of GOLD: a study whose answers people labelled (`labels draw`, `labels add`); --judge then names one of its judges.",
        show_default=False,
    ),
]


CALIBRATED = (
    "this judge is calibrated: where its calibration was fitted on these labels, the figures flatter it; "
    "what it is worth out of sample `valuedrift judge calibrate` showed"
)
"""Said of a study's judge, of whose calibration the tables know the numbers alone."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Labelled answers and a judge's view of them.

    Attributes:
        judge: Name of the judge.
        data: What they are, in a few words.
        judgements: The judge's, one a row.
        labels: People's: support, neutral, oppose or refused.
        prompts: The prompt of each row.
        weights: How many answers each row stands for; None where each stands for itself.
        config: The judge, where it judged now.
        notes: How one label was made of several, where that happened.
        seconds: What judging took, loading left out; None where it was done before.
        answers: What tells the answers of a study apart, one a row; none of a file.
        texts: Text of the prompt of each row, where ``prompts`` are names of them.
    """

    judge: str
    data: str
    judgements: list[Judgement]
    labels: list[str]
    prompts: list[str]
    weights: list[float] | None
    config: JudgeConfig | None
    notes: tuple[str, ...] = ()
    seconds: float | None = None
    answers: tuple[tuple[str, ...], ...] = ()
    texts: list[str] | None = None

    def only(self, answers: Container[tuple[str, ...]]) -> Labelled:
        """Those rows of a study's that are of some answers."""
        kept = [row for row, answer in enumerate(self.answers) if answer in answers]
        return replace(
            self,
            judgements=[self.judgements[row] for row in kept],
            labels=[self.labels[row] for row in kept],
            prompts=[self.prompts[row] for row in kept],
            weights=None if self.weights is None else [self.weights[row] for row in kept],
            answers=tuple(self.answers[row] for row in kept),
            texts=None if self.texts is None else [self.texts[row] for row in kept],
        )


def from_file(gold: str, config: JudgeConfig, threads: int | None) -> Labelled:
    """Judge a labelled file.

    Args:
        gold: The file.
        config: The judge.
        threads: CPU threads; None: torch's.

    Raises:
        UserError: The file or the judge's weights are missing.
        DataError: The file lacks a column, is empty, or has a stance that is none; names row and column.
    """
    from valuedrift.errors import DataError
    from valuedrift.judges.base import Pair, remarks_of
    from valuedrift.judges.kinship import own_labels
    from valuedrift.judges.quality.resampled import GOLD_LABELS
    from valuedrift.starter import packaged_gold
    from valuedrift.storage.fetching import at_hand
    from valuedrift.storage.location import Location
    from valuedrift.tabular import read_frame

    with at_hand(gold) as path:
        frame = read_frame(path, ("prompt", "response", "stance"))
    prompts, responses, labels = (frame.get_column(name).to_list() for name in ("prompt", "response", "stance"))
    labels = [label.strip().lower() for label in labels]
    if not labels:
        raise DataError("no rows", where=gold, fix="a row a labelled answer: prompt, response, stance")
    wrong = [(row, label) for row, label in enumerate(labels, start=1) if label not in GOLD_LABELS]
    if wrong:
        shown = ", ".join(f"row {row} {label[:40]!r}" for row, label in wrong[:5]) + (
            f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        )
        raise DataError(f"column stance: unknown stance in {shown}", where=gold, fix=f"one of {', '.join(GOLD_LABELS)}")
    pairs = [Pair(str(row), prompt, response) for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True))]
    packaged = gold == str(packaged_gold())
    with progress_bar("judging", len(pairs)) as progress:
        loaded = config.load(
            threads=threads, keep=None if packaged or Location.parse(gold).is_remote else Path(gold).with_suffix(".replies")
        )
        began = time.perf_counter()
        judgements = loaded.judge(pairs, progress)
        seconds = time.perf_counter() - began
    for remark in remarks_of(loaded):
        typer.echo(remark, err=True)
    data = "the packaged gold set" if packaged else Path(gold).name
    notes = tuple(note for note in (own_labels(config, prompts), _repeated(prompts, responses, labels)) if note is not None)
    return Labelled(loaded.name, data, judgements, labels, prompts, None, config, notes, seconds=seconds)


def _repeated(prompts: Sequence[str], responses: Sequence[str], labels: Sequence[str]) -> str | None:
    """What to know of answers that stand in a file more than once; None where none does."""
    said: dict[tuple[str, str], set[str]] = {}
    for prompt, response, label in zip(prompts, responses, labels, strict=True):
        said.setdefault((prompt, response), set()).add(label)
    if not (repeats := len(labels) - len(said)):
        return None
    split = sum(len(different) > 1 for different in said.values())
    also = f"; {counted(split, 'answer')} labelled in several ways, where no judge is right each time" if split else ""
    return f"{repeats} of {counted(len(labels), 'row')} repeat an answer to the same prompt, and count again{also}"


def from_study(study: str, judge: str, root: str | None) -> Labelled:
    """Labels of a study against its own stances.

    Args:
        study: Study file or name.
        judge: Name of a judge of the study; the default judge's name stands for the only one, where there is one.
        root: Where the tables lie.

    Raises:
        UserError: No such study or judge, or nothing is labelled.
    """
    import polars as pl

    from valuedrift.judges.frames import judgements_of
    from valuedrift.labels.people import ANSWER, MAJORITY, several_labellers
    from valuedrift.storage.store import Store
    from valuedrift.tasks.labels import is_calibrated, judge_name, judged_labels, study_name

    store = Store(resolve_root(root))
    name = study_name(store, study)
    known = {entry.slot for entry in store.entries("stances", name)}
    by = judge_name(store, name, None if judge == DEFAULT_JUDGE and judge not in known else judge)
    frame = judged_labels(store, name, by)
    labels, prompts, weights = (frame.get_column(column).to_list() for column in ("label", "prompt_id", "weight"))
    notes = (*several_labellers(frame, MAJORITY), *([CALIBRATED] if is_calibrated(store, name, by) else []))
    probes = store.read("probes").select("probe_set", "prompt_id", "prompt").unique(["probe_set", "prompt_id"], keep="first")
    asked = frame.join(probes, on=["probe_set", "prompt_id"], how="left", maintain_order="left")
    texts = asked.select(pl.coalesce("prompt", "prompt_id")).to_series().to_list()
    answers = tuple(frame.select(pl.col(ANSWER).cast(pl.String)).rows())
    return Labelled(
        by, f"labelled answers of study {name}", judgements_of(frame), labels, prompts, weights, None, notes, answers=answers, texts=texts
    )


def labelled(
    gold: str | None,
    study: str | None,
    judge: str,
    settings: list[str] | None,
    weights: str | None,
    threads: int | None,
    root: str | None,
    *,
    default: str | None = None,
) -> Labelled:
    """Labelled answers from whichever of file and study is given.

    Args:
        gold: A file.
        study: A study.
        judge: Value of --judge.
        settings: Values of --set.
        weights: Value of --weights.
        threads: CPU threads.
        root: Value of --root.
        default: The file where neither is given; None: one must be.

    Raises:
        UserError: Both or neither is given, or see `from_file` and `from_study`.
    """
    from valuedrift.errors import UserError

    gold = gold or (default if study is None else None)
    if (gold is None) == (study is None):
        raise UserError("labels come from a file or from a study", fix="give GOLD or --study STUDY")
    if study is not None:
        if settings or weights:
            raise UserError(
                "a study's judge is as it judged",
                where="--set, --weights",
                fix="leave them out, or give a file: labels show STUDY --export",
            )
        return from_study(study, judge, root)
    assert gold is not None
    return from_file(gold, judge_config(judge, settings, weights), threads)
