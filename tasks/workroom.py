"""Where the tasks of any flow run work: the store, the children that hold weights, and where files lie."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from valuedrift.cache import cache_folder
from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.load import Rows, write_jsonl
from valuedrift.corpora.registry import Kind
from valuedrift.fingerprint import fingerprint
from valuedrift.jobs import ChildPool
from valuedrift.storage.store import Store
from valuedrift.study.runtime import Runtime
from valuedrift.tasks.sources import rows_of


@dataclass(frozen=True, slots=True)
class Corpus:
    """A dataset as training reads it."""

    path: Path
    fingerprint: str
    rows: Rows


class Workroom:
    """Built once a flow run; shared by its task threads.

    Args:
        root: Where the tables lie: a folder or s3://bucket/prefix.
        runtime: Devices, parallelism and patience.
    """

    def __init__(self, root: str, runtime: Runtime) -> None:
        self.root = root
        self.runtime = runtime
        self.store = Store(root)
        self._locks: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)
        self._guard = threading.Lock()
        self._corpora: dict[tuple[str, str], Corpus] = {}

    @cached_property
    def store_fingerprint(self) -> str:
        """Tells the records of this store from those of another root in Prefect's cache, which all roots share."""
        return fingerprint(self.store.root.uri)

    @cached_property
    def local(self) -> Path:
        """Folder on this machine for weights and scratch: the root itself, or the user's cache folder where the root is a bucket.

        Raises:
            UserError: The root lies in a store that can only be read.
        """
        self.store.root.check_writable()
        folder = cache_folder() / "roots" / self.store_fingerprint if self.store.root.is_remote else Path(self.store.root.path)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def scratch(self) -> Path:
        """Folder for job files, logs and normalised datasets; nothing in it is ever read as a result."""
        return self.local / ".scratch"

    @cached_property
    def pool(self) -> ChildPool:
        """The children that train, sample and judge."""
        runtime = self.runtime
        return ChildPool(self.scratch, workers=runtime.workers, threads=runtime.worker_threads(), launcher=runtime.launcher)

    def corpus(self, dataset: Dataset, kind: Kind) -> Corpus:
        """A dataset's normalised rows, written where training reads them."""
        key = (dataset.model_dump_json(), kind)
        with self.lock(f"corpus {key}"):
            if key not in self._corpora:
                rows = rows_of(dataset, kind)
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
