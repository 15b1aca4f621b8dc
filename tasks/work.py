"""Where stages work: the store, the children that hold weights, where files lie, and who may make what now."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from pathlib import Path
from queue import SimpleQueue

from valuedrift.cache import cache_folder
from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.load import Rows, write_jsonl
from valuedrift.corpora.registry import Kind
from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.jobs import ChildPool
from valuedrift.storage.claims import Claim, Claims, Holder, Waiting
from valuedrift.storage.leases import claims_of
from valuedrift.storage.shelf import Shelf
from valuedrift.storage.store import Store
from valuedrift.storage.weights_store import WeightsStore
from valuedrift.study.runtime import Runtime
from valuedrift.tasks.board import tell
from valuedrift.tasks.kept_weights import KeptWeights
from valuedrift.tasks.sources import rows_of
from valuedrift.tasks.turns import awaiting, slot

_PATIENCE_SECONDS = 5.0
"""How long a stage waits for another process before it says so."""


class _Held(threading.local):
    """What a thread has claimed."""

    def __init__(self) -> None:
        self.claims: list[Claim] = []


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
        self._claims: Claims | None = None
        self._held = _Held()
        self.sources = 0
        """Sources of checkpoints that may still report some."""
        self.news: SimpleQueue[object] = SimpleQueue()
        """What ended, and None for what a source reports."""
        self.done: dict[str, str] = {}
        """The stages that are done, by label, and what each was made as of (`Stage.as_of`)."""
        self.failed: dict[str, str] = {}
        """Those that failed."""
        self.faults: dict[str, BaseException] = {}
        """Why."""
        self.given_up: dict[str, str] = {}
        """Runs of which a stage failed, and why: what is made of all runs is made of the others."""
        self._corpora: dict[tuple[str, str], Rows] = {}

    @cached_property
    def local(self) -> Path:
        """Folder on this machine for weights and scratch: the root itself, or one in the user's cache folder where the root is no local folder.

        Raises:
            UserError: The root lies in a store that can only be read, or where a folder cannot be.
        """
        self.store.root.check_writable()
        remote = self.store.root.is_remote
        folder = cache_folder() / "roots" / fingerprint(self.store.root.uri) if remote else Path(self.store.root.path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise UserError("a file stands where the root would be", where=str(folder), fix="give another --root") from error
        except OSError as error:
            raise UserError(f"no folder can be made there: {error.strerror}", where=str(folder), fix="give another --root") from error
        return folder

    @cached_property
    def weights(self) -> KeptWeights:
        """The weights that the tables tell of."""
        return KeptWeights(WeightsStore(self.store.root, lambda: self.local))

    def weights_folder(self, run_key: str) -> Path:
        """Where the weights of a training phase lie on this machine, by its identity."""
        return self.weights.store.folder(run_key)

    @property
    def scratch(self) -> Path:
        """Folder for job files, logs, claims and normalised datasets; nothing in it is ever read as a result."""
        return self.local / ".scratch"

    @cached_property
    def pool(self) -> ChildPool:
        """The children that train, sample and judge."""
        runtime = self.runtime
        return ChildPool(
            self.scratch,
            workers=runtime.workers,
            threads=runtime.worker_threads(),
            launcher=runtime.training_command(),
            processes=runtime.training_processes(),
            patience=runtime.stop_seconds,
            waiting=awaiting,
            slot=partial(slot, runtime.slots),
            unwanted=lambda: any(claim.lost for claim in self._held.claims),
        )

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
    def claim(self, name: str, label: str = "") -> Iterator[Claim]:
        """One thread of all processes that work on this root at a time for a name; a holder that dies is followed.

        Args:
            name: What is claimed.
            label: What is said to wait for it.

        Raises:
            StageError: The run ended while this waited.
        """
        what = label or name.split()[0]
        say_at = time.monotonic() + _PATIENCE_SECONDS

        def wait_for(holder: Holder | None) -> None:
            nonlocal say_at
            if time.monotonic() > say_at:
                tell(f"{what}: {holder or 'another process'} makes the same; waiting for its result")
                say_at = float("inf")

        with self._guard:
            if self._claims is None:
                self._claims = claims_of(self.store.root, self.scratch, self.runtime.lease_seconds)
        with ExitStack() as waiting:
            waiting.enter_context(awaiting("a result that another task or process makes"))
            with self._claims.claim(name, Waiting(self._closing, wait_for)) as claim:
                waiting.close()
                if claim.taken_over:
                    tell(f"{what}: {claim.taken_over}; its claim is taken over")
                self._held.claims.append(claim)
                try:
                    yield claim
                finally:
                    self._held.claims.remove(claim)

    def check_claims(self) -> None:
        """See that nothing that this thread claimed was taken over by another process; asked before anything is committed.

        Raises:
            LostClaimError: It was, because this process gave no sign of life.
        """
        for claim in self._held.claims:
            claim.check()

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
