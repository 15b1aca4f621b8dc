"""What the tasks of one flow run share: the study, its plan, the store, the children that hold weights, and where files lie."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import platformdirs

from storage.store import Store
from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.load import Rows, count_rows, load_rows, write_jsonl
from valuedrift.fingerprint import fingerprint
from valuedrift.jobs import ChildPool
from valuedrift.judges.config import JudgeConfig
from valuedrift.models.resolve import resolve_model
from valuedrift.probes import Probe, load_probes, probes_fingerprint
from valuedrift.study import Plan, Study, expand
from valuedrift.study.spec import Model
from valuedrift.weights import Weights


@dataclass(frozen=True, slots=True)
class Corpus:
    """A dataset as training reads it."""

    path: Path
    fingerprint: str
    rows: Rows


class Workplace:
    """Built once a flow run; shared by its task threads.

    Args:
        study: The study.
        root: Where the tables lie: a folder or s3://bucket/prefix.
    """

    def __init__(self, study: Study, root: str) -> None:
        self.study = study
        self.root = root
        self.store = Store(root)
        self._locks: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)
        self._guard = threading.Lock()
        self._corpora: dict[tuple[str, str], Corpus] = {}
        self._bases: dict[str, tuple[Weights, str]] = {}

    @cached_property
    def plan(self) -> Plan:
        """The study's runs."""
        return expand(self.study, count_rows)

    @cached_property
    def probes(self) -> list[Probe]:
        """The questions that are asked at every checkpoint."""
        chosen = self.study.probes
        return load_probes(chosen.set, topics=chosen.topics, per_topic=chosen.per_topic)

    @cached_property
    def probes_fingerprint(self) -> str:
        """Content hash of the questions."""
        return probes_fingerprint(self.probes)

    @cached_property
    def store_fingerprint(self) -> str:
        """Tells the records of this store from those of another root in Prefect's cache, which all roots share."""
        return fingerprint(self.store.root.uri)

    def judge(self, name: str) -> JudgeConfig:
        """A judge of the study by name."""
        return next(judge for judge in self.study.judges if judge.name == name)

    @cached_property
    def local(self) -> Path:
        """Folder on this machine for weights and scratch: the root itself, or the user's cache folder where the root is a bucket."""
        folder = (
            Path(platformdirs.user_cache_dir("valuedrift")) / "roots" / self.store_fingerprint
            if self.store.root.is_remote
            else Path(self.root).resolve()
        )
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def scratch(self) -> Path:
        """Folder for job files, logs and normalised datasets; nothing in it is ever read as a result."""
        return self.local / ".scratch"

    @cached_property
    def pool(self) -> ChildPool:
        """The children that train, sample and judge."""
        runtime = self.study.runtime
        return ChildPool(self.scratch, workers=runtime.workers, threads=runtime.worker_threads(), launcher=runtime.launcher)

    def checkpoints_folder(self, run_key: str) -> Path:
        """Where the checkpoints of a training phase lie, by its identity."""
        return self.local / "checkpoints" / run_key

    def base(self, model: Model) -> tuple[Weights, str]:
        """A base model's weights and their fingerprint; converted or fetched at the first call."""
        with self.lock(f"base {model.path}"):
            if model.path not in self._bases:
                weights = Weights(base=resolve_model(model.path))
                self._bases[model.path] = (weights, weights.fingerprint())
            return self._bases[model.path]

    def corpus(self, dataset: Dataset, phase: str) -> Corpus:
        """A dataset's normalised rows, written where training reads them."""
        kind: Literal["sft", "preference"] = "sft" if phase == "sft" else "preference"
        key = (dataset.model_dump_json(), kind)
        with self.lock(f"corpus {key}"):
            if key not in self._corpora:
                rows = load_rows(dataset, kind)
                path = self.scratch / "datasets" / f"{rows.fingerprint}.jsonl"
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists():
                    write_jsonl(rows.rows, path)
                self._corpora[key] = Corpus(path, rows.fingerprint, rows)
            return self._corpora[key]

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """One thread at a time for a name: equal work under two runs is done once."""
        with self._guard:
            lock = self._locks[name]
        with lock:
            yield

    def close(self) -> None:
        """End the children."""
        if "pool" in self.__dict__:
            self.pool.close()
