"""From a study to its runs: model × corpus, then × preference set × algorithm, each starting from its SFT parent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product
from typing import Any

from pydantic import ValidationError

from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.held_out import HeldOut, held_rows
from valuedrift.corpora.registry import Kind
from valuedrift.engines.base import RemoteEngine
from valuedrift.errors import UserError
from valuedrift.faults import describe
from valuedrift.fingerprint import fingerprint
from valuedrift.study.memory import check_fits
from valuedrift.study.parts import Model, PreferencePhase, SFTPhase
from valuedrift.study.spec import BASE, Study
from valuedrift.training.registry import Algorithm
from valuedrift.watching.series import Series
from valuedrift.watching.sighted import Sighted

TRAIN_VERSION = 1
"""Raised when a change of the training code changes the weights that come out of the same run."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One run, as planned."""

    run_id: str
    parent_run_id: str | None
    model_name: str
    model: Model
    phase: str
    algorithm: Algorithm
    dataset_name: str
    dataset: Dataset
    rows: int | None
    """Rows of the dataset; None where it is not at hand and the study doesn't say."""
    total_steps: int | None
    steps: tuple[int, ...]
    """Steps at which a checkpoint is kept; empty while the number of steps is not known."""
    seed: int
    held_out: HeldOut | None = None
    """What it is evaluated on."""
    group: str = ""
    """The name that it shares with the runs that differ from it in seed alone: the run_id of the study's `seed`."""

    @property
    def kind(self) -> Kind:
        """What its dataset holds."""
        return self.algorithm.kind

    def identity(self, *, parent: str, dataset: str, dtype: str, held_out: str | None = None) -> dict[str, Any]:
        """All that changes the weights of this run's checkpoints, and what is told of them.

        Args:
            parent: Fingerprint of the weights it starts from.
            dataset: Fingerprint of its rows.
            dtype: The precision that it is computed in.
            held_out: Fingerprint of the rows that it is evaluated on, if there are any.
        """
        evaluated = {} if held_out is None else {"held_out": held_out}
        return {
            "stage": "train",
            "version": TRAIN_VERSION,
            "parent": parent,
            "dataset": dataset,
            "algorithm": {**self.algorithm.model_dump(mode="json"), "dtype": dtype},
            "steps": list(self.steps),
            "seed": self.seed,
            **evaluated,
        }


@dataclass(frozen=True, slots=True)
class ServedRun:
    """Checkpoints that a server has, asked for by the names of its models: nothing is trained."""

    run_id: str
    engine: RemoteEngine
    models: Mapping[int, str]
    """Name of the server's model by step."""

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps of the checkpoints."""
        return tuple(sorted(self.models))

    def at(self, step: int) -> RemoteEngine:
        """The engine that asks for the checkpoint of a step."""
        return self.engine.naming(self.models[step])

    def fingerprint(self, step: int) -> str:
        """What stands for the weights of a step, which nobody can see: what changes the answers, as far as a name can say it."""
        return fingerprint(self.at(step).identity())

    def identity(self) -> dict[str, Any]:
        """All that is known of its checkpoints."""
        return {"stage": "adopt", "checkpoints": {str(step): self.at(step).identity() for step in self.steps}}


@dataclass(frozen=True, slots=True)
class SeriesRun:
    """Checkpoints that something else trained, as far as they are there now."""

    run_id: str
    series: Series
    checkpoints: tuple[Sighted, ...] = ()
    """By step; more may appear while the training goes on."""

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps of the checkpoints."""
        return tuple(checkpoint.step for checkpoint in self.checkpoints)

    def identity(self) -> dict[str, Any]:
        """All that is told of the training, and its checkpoints by content."""
        said = self.series.model_dump(mode="json", include={"phase", "data", "after", "length"}, exclude_none=True)
        return {"stage": "adopt", **said, "checkpoints": {str(one.step): one.fingerprint() for one in self.checkpoints}}


@dataclass(frozen=True, slots=True)
class Plan:
    """All runs of a study, parents before children."""

    study: Study
    runs: tuple[RunPlan, ...]
    served: tuple[ServedRun, ...] = ()
    series: tuple[SeriesRun, ...] = ()

    @property
    def sampled(self) -> tuple[RunPlan | ServedRun | SeriesRun, ...]:
        """All runs whose checkpoints are asked: trained here, by something else, or served."""
        return (*self.runs, *self.series, *self.served)

    def children(self, run_id: str | None) -> list[RunPlan]:
        """Runs that start from a run; from the base models for None."""
        return [run for run in self.runs if run.parent_run_id == run_id]

    def run(self, run_id: str) -> RunPlan:
        """A run by its id."""
        return next(run for run in self.runs if run.run_id == run_id)

    @property
    def seed_groups(self) -> dict[str, str]:
        """The group of each run, by run_id; nothing where every run is trained with one seed."""
        return {run.run_id: run.group for run in self.runs} if self.study.seeds else {}


def expand(study: Study, count_rows: Callable[[Dataset, Kind], int | None]) -> Plan:
    """Expand a study to its runs.

    Args:
        study: The study.
        count_rows: Rows of a kind in a dataset, or None where they can't be known now.

    Raises:
        UserError: A sweep value that the algorithm refuses, processes that cannot share out its batches, a model too large for the GPU that is named,
            or two runs of one name.
    """
    counts: dict[tuple[int, Kind], int | None] = {}

    def plan(phase: SFTPhase | PreferencePhase, name: str, model: str, seed: int, parent: RunPlan | None) -> Iterator[RunPlan]:
        dataset = study.corpora[name] if isinstance(phase, SFTPhase) else study.preferences[name]
        used = id(dataset), phase.algorithm.kind
        if used not in counts:
            counts[used] = count_rows(dataset, phase.algorithm.kind)
        rows = counts[used]
        if rows is not None and isinstance(phase.held_out, float):
            rows -= held_rows(rows, phase.held_out, f"dataset {name}")
        for algorithm, suffix in _variants(phase):
            algorithm.check_processes(study.runtime.training_processes(), study.runtime.shard)
            total = algorithm.steps if rows is None else algorithm.total_steps(rows)
            group = f"{parent.group if parent else model}.{algorithm.type}-{name}{suffix}"
            run_id = group if seed == study.seed else f"{group}-seed{seed}"
            check_fits(run_id, algorithm, study.models[model].known_parameters, study.runtime)
            yield RunPlan(
                run_id=run_id,
                parent_run_id=parent.run_id if parent else None,
                model_name=model,
                model=study.models[model],
                phase=algorithm.type,
                algorithm=algorithm,
                dataset_name=name,
                dataset=dataset,
                rows=rows,
                total_steps=total,
                steps=study.checkpoints.steps(total) if total is not None else (),
                seed=seed,
                held_out=phase.held_out,
                group=group,
            )

    runs: list[RunPlan] = []
    parents: list[RunPlan | None]
    for model, seed in product(study.models, study.trained_seeds):
        supervised = [run for phase in study.sft for name in phase.data for run in plan(phase, name, model, seed, None)]
        runs.extend(supervised)
        for preference in study.preference:
            after = preference.after if preference.after is not None else (BASE,) if not study.sft else tuple(study.corpora)
            from_model = BASE in after and BASE not in study.corpora
            parents = [None] * from_model + [run for run in supervised if run.dataset_name in after]
            runs.extend(run for parent in parents for name in preference.data for run in plan(preference, name, model, seed, parent))
    _check_unique(runs)
    served = () if isinstance(study.engine, str) else tuple(ServedRun(name, study.engine, models) for name, models in study.served.items())
    series = tuple(SeriesRun(name, one) for name, one in study.series.items())
    _check_continued([*(run.run_id for run in runs), *study.series], study.series)
    return Plan(study=study, runs=tuple(runs), served=served, series=series)


def _variants(phase: SFTPhase | PreferencePhase) -> Iterator[tuple[Algorithm, str]]:
    """The phase's algorithm, and one variant for each swept value with the suffix of its run_id; the unswept value is not run twice."""
    yield phase.algorithm, ""
    for field, values in phase.sweep.items():
        for value in values:
            if value == getattr(phase.algorithm, field):
                continue
            try:
                variant = type(phase.algorithm).model_validate({**phase.algorithm.model_dump(), field: value})
            except ValidationError as error:
                raise UserError(
                    f"sweep of {field} to {value}: {describe(error, type(phase.algorithm))}", where=f"{phase.algorithm.type} phase"
                ) from error
            yield variant, f"-{field}{value:g}"


def _check_continued(run_ids: list[str], series: Mapping[str, Series]) -> None:
    """What a series continues is a run of the study, and no run has the name of a series."""
    for name, one in series.items():
        if run_ids.count(name) > 1:
            raise UserError(
                f"a series and a run that is trained here are both named {name!r}", where=f"series.{name}", fix="rename the series"
            )
        if one.after is not None and one.after not in run_ids:
            near = get_close_matches(one.after, run_ids, n=1)
            fix = f"did you mean {near[0]!r}?" if near else f"runs are {', '.join(run_ids)}"
            raise UserError(f"after: no run {one.after!r} in this study", where=f"series.{name}", fix=fix)


def _check_unique(runs: list[RunPlan]) -> None:
    seen: dict[str, RunPlan] = {}
    for run in runs:
        other = seen.setdefault(run.run_id, run)
        if other is run:
            continue
        if other.seed != run.seed:
            hint = "a dataset is named as a run of another seed is: rename it"
        elif fingerprint(other.algorithm.model_dump(mode="json")) == fingerprint(run.algorithm.model_dump(mode="json")):
            hint = "the same run twice"
        else:
            hint = "two algorithms of one type on one dataset: vary a field with `sweep`"
        raise UserError(f"two runs would be named {run.run_id!r}", where="sft/preference", fix=hint)
