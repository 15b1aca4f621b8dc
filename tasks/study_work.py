"""Where the stages of a study work: its plan, its probes, its datasets and base models, each read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import polars as pl

from valuedrift.capability.harness import Found, find
from valuedrift.capability.options import CapabilityTask
from valuedrift.corpora.became import has_more, row_counts, told_rows
from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.held_out import apart, evaluated
from valuedrift.corpora.load import Rows
from valuedrift.corpora.normal import rows_fingerprint
from valuedrift.corpora.registry import Kind
from valuedrift.judges.registry import JudgeConfig
from valuedrift.judges.trained import recorded_figures
from valuedrift.models.control import control_identity, control_names, texts_in, told_of_servers
from valuedrift.models.resolve import resolve_weights
from valuedrift.probes import Probe, asked_ids, probes_fingerprint, same_texts, together
from valuedrift.references import is_address
from valuedrift.results.facts import StudyFacts, facts_of
from valuedrift.results.quality import Figures
from valuedrift.sampling import Prompt
from valuedrift.servers.server import Server
from valuedrift.study import Plan, RunPlan, Study, expand
from valuedrift.study.parts import Model
from valuedrift.study.understood import check_languages
from valuedrift.tasks.board import artifact_key
from valuedrift.tasks.provenance import provenance_of
from valuedrift.tasks.sources import brought, count_of, is_at_hand, made_of, probes_of, with_template
from valuedrift.tasks.stances_work import StancesWork
from valuedrift.tasks.watch import Watch
from valuedrift.training.job import TrainJob
from valuedrift.training.schedule import Adaptive
from valuedrift.weights import Weights


class StudyWork(StancesWork):
    """Where the stages of one study work: the study, its plan, its probes and base models.

    Args:
        study: The study.
        root: Where the tables lie: a folder or an address as ``s3://bucket/prefix``.
        report_folder: Where its report goes; None: reports/<study> below the root.
    """

    def __init__(self, study: Study, root: str, report_folder: str | None = None) -> None:
        super().__init__(study.study, root, study.runtime, study.analysis, report_folder)
        engine = study.engine if isinstance(study.engine, str) else study.engine.with_paths(brought)
        judges = tuple(judge.with_paths(brought) for judge in study.judges)
        capability = study.capability and study.capability.with_paths(brought)
        told = {"judges": judges, "engine": engine, "sampling": with_template(study.sampling), "capability": capability}
        self.study = study.model_copy(update=told)
        self.trainings: dict[str, TrainJob] = {}
        """Trainings under way, by run: what they have published is sampled while they go on."""
        self._bases: dict[str, tuple[Weights, str]] = {}
        self._control: dict[tuple[frozenset[str], str], dict[str, str]] = {}
        self._apart: dict[tuple[str, float], tuple[Rows, Rows]] = {}
        self._tasks: dict[str, Found] = {}

    @cached_property
    def recorded(self) -> Sequence[Figures]:
        """Those of the weights that judge here; read when the study is concluded, since a page of its tables needs no weights."""
        return recorded_figures(self.study.judges)

    @cached_property
    def _planned(self) -> Plan:
        return expand(self.study, self._count)

    def _count(self, dataset: Dataset, kind: Kind) -> int | None:
        """Rows of a kind in a dataset, as `count_of` knows them; of data at hand those that training reads."""
        return len(self.corpus(dataset, kind).rows) if is_at_hand(dataset) else count_of(dataset, kind)

    @property
    def plan(self) -> Plan:
        """The study's runs; series as far as they were seen at the last look."""
        if not self.study.series:
            return self._planned
        return replace(self._planned, series=tuple(replace(run, checkpoints=self.watch.shown(run.run_id)) for run in self._planned.series))

    @property
    def growing(self) -> bool:
        """See `Work`."""
        return super().growing or ("watch" in self.__dict__ and self.watch.hides())

    @property
    def seed_groups(self) -> Mapping[str, str]:
        """See `StancesWork`."""
        return self.plan.seed_groups

    @property
    def followed(self) -> Mapping[str, tuple[int, int | None]]:
        """See `StancesWork`."""
        return {name: (self.watch.wanted(name), series.length or self.watch.length(name)) for name, series in self.study.series.items()}

    @property
    def alerts_file(self) -> Path:
        """Where a line is added for every alert that fires, on this machine."""
        return self.local / "watch" / f"{self.name}.alerts.jsonl"

    @cached_property
    def watch(self) -> Watch:
        """The study's series at work; looked at once."""
        schedule = self.study.checkpoints
        budget = schedule.budget if isinstance(schedule, Adaptive) else None
        return Watch(self.study.series, self.store, self.study.study, self.local / "weights" / "held", budget)

    @cached_property
    def probes(self) -> list[Probe]:
        """The questions that are asked at every checkpoint."""
        sets = [
            probes_of(chosen.set, topics=chosen.topics, per_topic=chosen.per_topic, columns=chosen.columns)
            for chosen in self.study.probe_sets
        ]
        return together(sets) if len(sets) > 1 else sets[0]

    @property
    def probe_set(self) -> dict[str, str]:
        """What this study calls the set of all its questions, as a column; nothing where they are of several."""
        return {} if len(self.study.probe_sets) > 1 else {"probe_set": self.probes[0].probe_set}

    @cached_property
    def asked(self) -> list[Prompt]:
        """The questions as they are put to every checkpoint, in the order of `probes`."""
        put = [self.study.sampling.put(probe.asked) for probe in self.probes]
        return [replace(prompt, prompt_id=name) for prompt, name in zip(put, asked_ids(self.probes), strict=True)]

    @cached_property
    def probes_fingerprint(self) -> str:
        """Content hash of the questions."""
        return probes_fingerprint(self.probes, several=len(self.study.probe_sets) > 1)

    def notes(self) -> list[str]:
        """What to know of what the study reads, before anything is made of it.

        Raises:
            UserError: It can't be made anything of: probes in a language that a judge does not know.
        """
        twice = same_texts(self.probes)
        used = {(run.dataset_name, run.kind): run.dataset for run in self.plan.runs}
        mixed = {name: made for (name, kind), dataset in used.items() if dataset.mixture and (made := made_of(dataset, kind))}
        became = {name: row_counts(self.corpus(dataset, kind)) for (name, kind), dataset in used.items() if is_at_hand(dataset)}
        asks = not isinstance(self.study.engine, str) or any(isinstance(judge, Server) for judge in self.study.judges)
        spelling = told_of_servers([prompt.whole_text for prompt in self.asked], "prompt") if asks else None
        return [
            *check_languages(self.study.judges, self.probes, self.study.probes_in_words),
            *([twice] if twice else []),
            *(f"dataset {name} is {made}" for name, made in mixed.items()),
            *(f"dataset {name}: {told_rows(entries)}" for name, entries in became.items() if has_more(entries)),
            *([spelling] if spelling else []),
        ]

    def learnt(self, run: RunPlan) -> tuple[Rows, Rows | None]:
        """The rows that a run learns from, and those that it is evaluated on, if any are held out.

        Raises:
            UserError: See :meth:`corpus`.
            DataError: Too few rows for the share that is to be held out.
        """
        rows = self.corpus(run.dataset, run.kind)
        if run.held_out is None:
            return rows, None
        other = evaluated(run.dataset, run.held_out)
        if other is not None:
            return rows, self.corpus(other, run.kind)
        assert isinstance(run.held_out, float)
        key = (rows.fingerprint, run.held_out)
        with self.lock(f"held out {key}"):
            if key not in self._apart:
                kept, held = apart(rows.rows, run.held_out, f"dataset {run.dataset_name}")
                self._apart[key] = (
                    replace(rows, rows=kept, fingerprint=rows_fingerprint(kept), dropped={**rows.dropped, "held out": len(held)}),
                    replace(rows, rows=held, fingerprint=rows_fingerprint(held)),
                )
            return self._apart[key]

    @property
    def run_ids(self) -> list[str]:
        """See `StancesWork`."""
        return [run.run_id for run in self.plan.sampled if run.run_id not in self.given_up]

    def progress_key(self, kind: str, run_id: str) -> str:
        """Under which Prefect's UI lists how far a run is in one kind of stage: ``train-RUN-STUDY``, since a server shows many studies."""
        return f"{kind}-{artifact_key(run_id, [run.run_id for run in self.plan.sampled])}-{artifact_key(self.name)}"

    @property
    def facts(self) -> StudyFacts:
        """See `StancesWork`."""
        return facts_of(self.study)

    def provenance(self, runs: pl.DataFrame, stances: pl.DataFrame) -> dict[str, dict[str, str]]:
        """See `StancesWork`."""
        failed = {"Runs that failed and are left out": self.given_up} if self.given_up else {}
        unfit = self.watch.left_out if self.study.series else {}
        return {
            **failed,
            **({"Checkpoints that could not be asked and are left out": unfit} if unfit else {}),
            **provenance_of(self.store, self.study, runs, stances),
        }

    @property
    def auditor(self) -> JudgeConfig:
        """Who audits the study's datasets; see `Study.auditor`."""
        return self.study.auditor

    def task(self, asked: CapabilityTask) -> Found:
        """One of the study's tasks with its rows, read once.

        Raises:
            UserError: See :func:`valuedrift.capability.harness.find`.
        """
        with self.lock("capability"):
            if asked.title not in self._tasks:
                self._tasks[asked.title] = find(asked)
            return self._tasks[asked.title]

    def control(self, model: Model, texts: object, content: str) -> dict[str, str]:
        """What an identity holds more where some texts spell control tokens of a base model: see `valuedrift.models.control`.

        Args:
            model: Whose tokenizer reads them.
            texts: In lists and mappings of any depth.
            content: Fingerprint of the texts.
        """
        names = control_names(self.base(model)[0].tokenizer)
        if (names, content) not in self._control:
            self._control[names, content] = control_identity(names, texts_in(texts))
        return self._control[names, content]

    def base(self, model: Model) -> tuple[Weights, str]:
        """A base model's weights and their fingerprint; converted or fetched at the first call."""
        with self.lock(f"base {model.path}"):
            if model.path not in self._bases:
                weights = resolve_weights(brought(model.path))
                if is_address(model.path):
                    self.weights.came_from((weights.base, *weights.adapters)[-1], model.path)
                self._bases[model.path] = (weights, weights.fingerprint())
            return self._bases[model.path]
