"""Where stages work: the store, the children that hold weights, where files lie, and who may make what now."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from queue import SimpleQueue

import polars as pl
from filelock import FileLock, Timeout

from valuedrift.cache import cache_folder
from valuedrift.corpora.became import has_more, row_counts, told_rows
from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.held_out import apart, evaluated
from valuedrift.corpora.load import Rows, write_jsonl
from valuedrift.corpora.normal import rows_fingerprint
from valuedrift.corpora.registry import Kind
from valuedrift.drift.options import Analysis
from valuedrift.errors import StageError
from valuedrift.fingerprint import fingerprint
from valuedrift.jobs import ChildPool
from valuedrift.judges.network.weights import shipped_metrics
from valuedrift.judges.panel import Panel
from valuedrift.judges.registry import JudgeConfig
from valuedrift.models.control import control_identity, control_names, texts_in, told_of_servers
from valuedrift.models.resolve import resolve_weights
from valuedrift.probes import Probe, asked_ids, probes_fingerprint, same_texts, together
from valuedrift.results.facts import StudyFacts, facts_of
from valuedrift.results.quality import Figures
from valuedrift.sampling import Prompt
from valuedrift.servers.server import Server
from valuedrift.storage.shelf import Shelf
from valuedrift.storage.store import Store
from valuedrift.study import Plan, RunPlan, Study, expand
from valuedrift.study.runtime import Runtime
from valuedrift.study.spec import Model
from valuedrift.study.understood import check_languages
from valuedrift.tasks.board import board
from valuedrift.tasks.provenance import provenance_of
from valuedrift.tasks.sources import brought, count_of, is_at_hand, made_of, probes_of, rows_of, with_template
from valuedrift.tasks.watch import Watch
from valuedrift.training.job import TrainJob
from valuedrift.training.schedule import Adaptive
from valuedrift.weights import Weights

_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 5.0
"""How long a stage waits for another process before it says so."""


class Work:
    """Built once a run; shared by its threads.

    Args:
        root: Where the tables lie: a folder or an address as ``s3://bucket/prefix``.
        runtime: Devices, parallelism and patience.
    """

    def __init__(self, root: str, runtime: Runtime) -> None:
        self.root = root
        self.runtime = runtime
        self.store = Store(root)
        self.shelf = Shelf(self.store.root)
        self._locks: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)
        self._guard = threading.Lock()
        self._closing = threading.Event()
        self._held: set[str] = set()
        self.sources = 0
        """Sources of checkpoints that may still report some."""
        self.news: SimpleQueue[object] = SimpleQueue()
        """What ended, and None for what a source reports."""
        self.done: dict[str, str] = {}
        """The stages that are done, by label, and what each was made as of (`Stage.as_of`)."""
        self.failed: dict[str, str] = {}
        """Those that failed."""
        self.given_up: dict[str, str] = {}
        """Runs of which a stage failed, and why: what is made of all runs is made of the others."""
        self._corpora: dict[tuple[str, str], Rows] = {}

    @cached_property
    def local(self) -> Path:
        """Folder on this machine for weights and scratch: the root itself, or one in the user's cache folder where the root is no local folder.

        Raises:
            UserError: The root lies in a store that can only be read.
        """
        self.store.root.check_writable()
        remote = self.store.root.is_remote
        folder = cache_folder() / "roots" / fingerprint(self.store.root.uri) if remote else Path(self.store.root.path)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def weights_folder(self, run_key: str) -> Path:
        """Where the weights of a training phase lie, by its identity: in a folder that holds no table.

        Up to version 0.2 they lay beside the table ``checkpoints``; what is there stays there and is gone on with.
        """
        older = self.local / "checkpoints" / run_key
        return older if older.exists() else self.local / "weights" / run_key

    @property
    def scratch(self) -> Path:
        """Folder for job files, logs, claims and normalised datasets; nothing in it is ever read as a result."""
        return self.local / ".scratch"

    @cached_property
    def pool(self) -> ChildPool:
        """The children that train, sample and judge."""
        runtime = self.runtime
        return ChildPool(self.scratch, workers=runtime.workers, threads=runtime.worker_threads(), launcher=runtime.launcher)

    def corpus(self, dataset: Dataset, kind: Kind) -> Rows:
        """A dataset's normalised rows, read at the first call."""
        key = (dataset.model_dump_json(), kind)
        with self.lock(f"corpus {key}"):
            if key not in self._corpora:
                self._corpora[key] = rows_of(dataset, kind)
            return self._corpora[key]

    def corpus_file(self, dataset: Dataset, kind: Kind) -> Path:
        """A dataset's normalised rows in a file, as training and audits read them."""
        return self.rows_file(self.corpus(dataset, kind))

    def rows_file(self, rows: Rows) -> Path:
        """Normalised rows in a file."""
        path = self.scratch / "datasets" / f"{rows.fingerprint}.jsonl"
        with self.lock(f"file {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                write_jsonl(rows.rows, path)
        return path

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """One thread of this process at a time for a name."""
        with self._guard:
            lock = self._locks[name]
        with lock:
            yield

    @contextmanager
    def claim(self, name: str, label: str = "") -> Iterator[None]:
        """One thread of all processes of this machine at a time for a name; a holder that dies lets go.

        Args:
            name: What is claimed.
            label: What is said to wait for it.

        Raises:
            StageError: The run ended while this waited.
        """
        folder = self.scratch / "claims"
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{fingerprint(name)}.lock", thread_local=False)
        say_at = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                lock.acquire(timeout=0)
                break
            except Timeout:
                pass
            if self._closing.wait(_POLL_SECONDS):
                raise StageError("stopped before it began")
            if time.monotonic() > say_at and name not in self._held:
                board().result(f"{label or name.split()[0]}: another process makes the same; waiting for its result")
                say_at = float("inf")
        self._held.add(name)
        try:
            yield
        finally:
            self._held.discard(name)
            lock.release()

    @contextmanager
    def source(self) -> Iterator[Callable[[], None]]:
        """While this is open the list of stages may grow; yields what a source calls when it did."""
        with self._guard:
            self.sources += 1
        try:
            yield lambda: self.news.put(None)
        finally:
            with self._guard:
                self.sources -= 1
            self.news.put(None)

    @property
    def growing(self) -> bool:
        """Whether more may come to be evaluated than the list of stages has now."""
        return self.sources > 0

    def close(self) -> None:
        """End the children and whatever waits."""
        self._closing.set()
        if "pool" in self.__dict__:
            self.pool.close()


class StancesWork(Work, ABC):
    """Where the stages of one study work that are made of its stances, whoever made these: analyze, correct, conclude, report.

    Args:
        name: Name of the study.
        root: Where the tables lie.
        runtime: Devices, parallelism and patience.
        analysis: How the stances are analysed.
        report_folder: Where the report goes; None: reports/<study> below the root.

    Attributes:
        recorded: Figures that were recorded with its judges, see `valuedrift.results.quality`.
    """

    def __init__(self, name: str, root: str, runtime: Runtime, analysis: Analysis, report_folder: str | None = None) -> None:
        super().__init__(root, runtime)
        self.name = name
        self.analysis = analysis
        self.report_folder = report_folder
        self.recorded: Sequence[Figures] = []

    @property
    @abstractmethod
    def run_ids(self) -> list[str]:
        """Its runs."""

    @property
    @abstractmethod
    def facts(self) -> StudyFacts:
        """What is known of it beside the numbers."""

    @property
    def followed(self) -> Mapping[str, tuple[int, int | None]]:
        """Its runs that something else trains: how many checkpoints are there to be evaluated, and the steps of the whole training, where known."""
        return {}

    @abstractmethod
    def provenance(self, runs: pl.DataFrame, stances: pl.DataFrame) -> dict[str, dict[str, str]]:
        """Where its numbers come from, by section and name.

        Args:
            runs: Its rows of the table runs.
            stances: Those of the table stances.
        """


class StudyWork(StancesWork):
    """Where the stages of one study work: the study, its plan, its probes and base models.

    Args:
        study: The study.
        root: Where the tables lie: a folder or an address as ``s3://bucket/prefix``.
        report_folder: Where its report goes; None: reports/<study> below the root.
    """

    def __init__(self, study: Study, root: str, report_folder: str | None = None) -> None:
        super().__init__(study.study, root, study.runtime, study.analysis, report_folder)
        self.recorded = shipped_metrics()
        engine = study.engine if isinstance(study.engine, str) else study.engine.with_paths(brought)
        judges = tuple(judge.with_paths(brought) for judge in study.judges)
        self.study = study.model_copy(update={"judges": judges, "engine": engine, "sampling": with_template(study.sampling)})
        self.trainings: dict[str, TrainJob] = {}
        """Trainings under way, by run: what they have published is sampled while they go on."""
        self._bases: dict[str, tuple[Weights, str]] = {}
        self._control: dict[tuple[frozenset[str], str], dict[str, str]] = {}
        self._apart: dict[tuple[str, float], tuple[Rows, Rows]] = {}

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

    @property
    def facts(self) -> StudyFacts:
        """See `StancesWork`."""
        return facts_of(self.study)

    def provenance(self, runs: pl.DataFrame, stances: pl.DataFrame) -> dict[str, dict[str, str]]:
        """See `StancesWork`."""
        failed = {"Runs that failed and are left out": self.given_up} if self.given_up else {}
        return {**failed, **provenance_of(self.store, self.study, runs, stances)}

    @property
    def auditor(self) -> JudgeConfig:
        """Who audits the study's datasets: its first judge that is no panel."""
        return next(judge for judge in self.study.judges if not isinstance(judge, Panel))

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
                self._bases[model.path] = (weights, weights.fingerprint())
            return self._bases[model.path]
