"""What makes tables from Python, with neither a study file nor Prefect: ``vd.trace`` of a model's checkpoints, ``vd.import_stances`` of stances."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
from pydantic import ValidationError

from valuedrift.api.root import Root
from valuedrift.drift.options import Analysis
from valuedrift.errors import UserError
from valuedrift.faults import describe
from valuedrift.storage.exchange import import_table
from valuedrift.storage.store import Store
from valuedrift.study import Study
from valuedrift.study.load import anchored
from valuedrift.tasks.board import Lines, Quiet, on_board
from valuedrift.tasks.candidates import candidate_at, candidates_at
from valuedrift.tasks.once import once_each
from valuedrift.tasks.stages.given import GivenWork, stages_of_given
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.study_work import StudyWork

Place = str | os.PathLike[str]
Checkpoints = Place | Sequence[Place] | Mapping[int, Place]
"""A folder or pattern with them, some of them, or each by its step."""
Questions = Place | Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""A probe set by its place, or one or several as they stand in a study."""

_SAID_OTHERWISE = {"study": "name=…", "series": "checkpoints, the second argument", "judges": "judge=…"}
"""Keys of a study file that are parameters of `trace` by another name."""


def trace(
    model: Place | None,
    checkpoints: Checkpoints,
    *,
    root: Place = "valuedrift-data",
    name: str = "traced",
    probes: Questions = "starter",
    topics: Sequence[str] | None = None,
    per_topic: int | None = None,
    samples: int = 5,
    max_new_tokens: int = 256,
    judge: Any = "cross-encoder",
    budget: int | None = None,
    report: bool = False,
    progress: bool = True,
    **settings: Any,
) -> Root:
    """Ask every checkpoint of a training the same questions, judge the answers, and analyse how the stances moved. What is done is never done again.

    Args:
        model: The model that the training started from, its step 0: a folder, ``embedded:NAME`` or ``hf:organisation/name``. None: what the adapters
            name; full weights then start at their first checkpoint.
        checkpoints: Full weights or LoRA adapters: the run's folder (``out/``), a pattern (``out/checkpoint-*``), either also in a bucket; a list of such,
            the step of each in its name; or a mapping from step to folder.
        root: Where the tables lie: a folder, or ``s3://bucket/prefix``.
        name: Name of the study and of its run.
        probes: The questions: ``starter``, or a Parquet, CSV or JSONL file; or a set as it stands in a study (``{"set": …, "columns": …}``), or a list of such.
        topics: Topics to ask about; default: all.
        per_topic: Probes a topic; default: all.
        samples: Answers a probe and checkpoint.
        max_new_tokens: Tokens an answer may have.
        judge: Who judges stance: a type (``cross-encoder``, ``causal-lm``, …), its settings as they stand in a study (``{"type": …}``), or a list of such.
        budget: How many of the checkpoints are evaluated at most, 3 or more: the ends, then those that tell most (docs/adaptive.md). Default: all.
        report: Whether to write the report too, below ``reports/`` of the root.
        progress: Whether to say on standard error what is done, a line a stage.
        settings: Any other key of a study file (docs/study.md) as it stands there: ``sampling``, ``engine``, ``dtype``, ``analysis``, ``seed``, ``runtime``.

    Returns:
        The tables of the root, whose methods give this study's rows where no other is named.

    Raises:
        UserError: A key or a value that no study has, a checkpoint that is not whole, or fewer than two checkpoints.
        StageError: Sampling or judging died; what had finished is kept, and the same call goes on from there.
    """
    if taken := [f"{key}={{…}}" for key in _SAID_OTHERWISE if key in settings]:
        said = _SAID_OTHERWISE[taken[0].partition("=")[0]]
        raise UserError(f"{taken[0]} is said otherwise here", where="vd.trace", fix=f"give {said}")
    if budget is not None:
        settings = {**settings, "checkpoints": {"type": "adaptive", "budget": budget}}
    work = StudyWork(_study(model, checkpoints, name, probes, topics, per_topic, samples, max_new_tokens, judge, settings), os.fspath(root))
    try:
        _check_whole(work, name)
        with on_board(Lines() if progress else Quiet()):
            if budget is not None:
                _evaluate_chosen(work)
            once_each(work, [stage for stage in stages_of(work) if report or stage.name != "report"])
    finally:
        work.close()
    return Root(root, study=name)


def _evaluate_chosen(work: StudyWork) -> None:
    """Sample and judge what the budget chooses, until it chooses no more."""
    done: set[str] = set()
    while new := [stage for stage in stages_of(work) if stage.name in ("sample", "judge") and stage.label not in done]:
        once_each(work, new)
        done |= {stage.label for stage in new}


def import_stances(
    stances: Place | pl.DataFrame,
    study: str,
    *,
    root: Place = "valuedrift-data",
    judge: str | None = None,
    probe_set: str | None = None,
    analysis: Analysis | Mapping[str, Any] | None = None,
    replace: bool = False,
    report: bool = False,
) -> Root:
    """Take in stances that another program judged, and analyse them: what ``valuedrift tables import`` and ``valuedrift report NAME`` do.

    Args:
        stances: A frame, or a Parquet, CSV or JSON-lines file, local or in a bucket: run_id, step, topic, prompt_id, sample_idx, p_support, p_neutral,
            p_oppose (0 to 1, sum 1); judge, probe_set, status, polarity and pair_id where there are any.
        study: Name of the study that they shall belong to.
        root: Where the tables lie: a folder, or ``s3://bucket/prefix``.
        judge: Name of the judge, where there is no such column; else ``imported``.
        probe_set: Name of the probe set, where there is no such column; else ``imported``.
        analysis: Confidence, resamples, ``towards``, seed; default: as at the last time, at the first by the defaults.
        replace: Whether they may take the place of stances that are there already.
        report: Whether to write the report too, below ``reports/`` of the root.

    Returns:
        The tables of the root, whose methods give this study's rows where no other is named.

    Raises:
        DataError: A row is not as it must be; nothing came in.
        UserError: Others are there already, a study file made them, or an option of the analysis is none; nothing came in.
    """
    given_kind: object = stances  # a frame of another library is not seen by types
    if not isinstance(given_kind, pl.DataFrame | str | os.PathLike):
        what = f"stances are a frame of polars or a file, not {type(given_kind).__name__}"
        raise UserError(what, where="vd.import_stances", fix="polars.from_pandas(frame), or frame.collect() of a lazy one")
    try:
        options = None if analysis is None else Analysis.model_validate(analysis)
    except ValidationError as error:
        raise UserError(describe(error, Analysis), where="vd.import_stances, analysis") from error
    place, fill = os.fspath(root), {"judge": judge, "probe_set": probe_set}
    given = {name: value for name, value in fill.items() if value is not None}
    with TemporaryDirectory() as aside:
        file = Path(aside) / "stances.parquet"
        if isinstance(stances, pl.DataFrame):
            stances.write_parquet(file)
        import_table(
            Store(place),
            str(file) if isinstance(stances, pl.DataFrame) else os.fspath(stances),
            "stances",
            study,
            fill=given,
            replace=replace,
        )
    work = GivenWork(study, place, analysis=options)
    try:
        once_each(work, [stage for stage in stages_of_given(work) if report or stage.name != "report"])
    finally:
        work.close()
    return Root(root, study=study)


def _study(
    model: Place | None,
    checkpoints: Checkpoints,
    name: str,
    probes: Questions,
    topics: Sequence[str] | None,
    per_topic: int | None,
    samples: int,
    max_new_tokens: int,
    judge: Any,
    settings: dict[str, Any],
) -> Study:
    """The study that is asked for, its relative paths taken from the folder where the program runs.

    Raises:
        UserError: It is no study; says which key.
    """
    judges = [judge] if isinstance(judge, str | Mapping) or not isinstance(judge, Sequence) else judge
    written = {
        "study": name,
        "probes": _probes(probes, topics, per_topic),
        "series": {name: {"source": _source(checkpoints), "base": None if model is None else os.fspath(model)}},
        "judges": [{"type": one} if isinstance(one, str) else one for one in judges],
        **settings,
        "sampling": {"n": samples, "max_new_tokens": max_new_tokens, **settings.get("sampling", {})},
    }
    try:
        return anchored(Study.model_validate(written), Path.cwd())
    except ValidationError as error:
        raise UserError(describe(error, Study), where="vd.trace") from error


def _probes(probes: Questions, topics: Sequence[str] | None, per_topic: int | None) -> Any:
    if isinstance(probes, str | os.PathLike):
        return {"set": os.fspath(probes), "topics": topics, "per_topic": per_topic}
    if topics is not None or per_topic is not None:
        raise UserError(
            "topics and per_topic are of one probe set", where="vd.trace", fix='say them of each: probes=[{"set": …, "topics": […]}, …]'
        )
    return probes


def _source(checkpoints: Checkpoints) -> str | list[str] | dict[int, str]:
    if isinstance(checkpoints, Mapping):
        return {step: os.fspath(place) for step, place in checkpoints.items()}
    return os.fspath(checkpoints) if isinstance(checkpoints, str | os.PathLike) else [os.fspath(place) for place in checkpoints]


def _check_whole(work: StudyWork, name: str) -> None:
    """See that all checkpoints that lie there can be evaluated, and that there are two.

    Raises:
        UserError: One is broken or not whole, or there are fewer than two.
    """
    series = work.study.series[name]
    for place in series.places:
        if not (candidate_at(place) if place in series.steps else candidates_at(place)):
            raise UserError(
                "no checkpoint is there", where=place, fix="folders of checkpoints have their step in their name, or give them by step"
            )
    seen, where = work.watch.seen(name), ", ".join(series.places)
    for checkpoint, why in {**seen.broken, **seen.waiting}.items():
        raise UserError(
            f"not a whole checkpoint: {why.removeprefix(f'{checkpoint}: ')}", where=checkpoint, fix="leave it out, or write it again"
        )
    found = [one.step for one in work.watch.there(name)]
    if len(found) < 2:
        what = f"one checkpoint only, of step {found[0]}" if found else "no checkpoint is there"
        raise UserError(
            what,
            where=where,
            fix="a drift is from one checkpoint to another: name the model that the training started from, or more checkpoints",
        )
