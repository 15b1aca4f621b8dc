"""Flow runs whose process was killed: the server was told nothing, and shows them as running. The next run of this machine says that they crashed.

Each flow run holds a lock in the cache folder while it goes on. The operating system frees it with the process, however that ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
from filelock import FileLock, Timeout
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.settings import get_current_settings
from prefect.states import Crashed

from valuedrift.cache import cache_folder

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_WHY = "its process was killed; run the same command again: it goes on from what is finished and saved"
_PAGE = 200


@contextmanager
def known_to_live() -> Iterator[None]:
    """Let others see that this flow run goes on, for as long as the block does; and mark those of this machine as crashed that did not end."""
    settings = get_current_settings()
    server = settings.api.url or f"temporary, {settings.home}"
    folder = cache_folder() / "flow-runs"
    mine = FileLock(folder / f"{flow_run.id}.lock", thread_local=False, fallback_to_soft=False)
    with suppress(OSError):  # a disk that is full or has no locks: whoever looks later finds nothing
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(httpx.HTTPError), get_client(sync_client=True) as client:  # what the UI shows is not worth a run
            for path in folder.glob("*.lock"):
                _lay(client, path, server)
        mine.acquire(timeout=0)
        (folder / f"{flow_run.id}.server").write_text(server, encoding="utf-8")
    try:
        yield
    finally:
        if mine.is_locked:
            _forget(Path(mine.lock_file))
            mine.release()


def _lay(client: SyncPrefectClient, path: Path, server: str) -> None:
    """Mark a flow run as crashed whose lock is free, if this server has it."""
    lock = FileLock(path, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return
    try:
        known = path.with_suffix(".server")
        if not known.exists() or known.read_text(encoding="utf-8") != server:  # it has just begun, or another server shows it
            return
        with suppress(ObjectNotFound):
            _mark(client, UUID(path.stem))
        _forget(path)
    finally:
        lock.release()


def _mark(client: SyncPrefectClient, run: UUID) -> None:
    """Mark a flow run that seems to go on, and its tasks that did not end, as crashed."""
    state = client.read_flow_run(run).state
    if state is None or not (state.is_running() or state.is_cancelling()):
        return
    mine = FlowRunFilter(id=FlowRunFilterId(any_=[run]))
    for task in client.read_task_runs(flow_run_filter=mine, limit=_PAGE):
        if task.state is None or not task.state.is_final():
            client.set_task_run_state(task.id, Crashed(message=_WHY), force=True)
    client.set_flow_run_state(run, Crashed(message=_WHY), force=True)


def _forget(path: Path) -> None:
    path.with_suffix(".server").unlink(missing_ok=True)
    path.unlink(missing_ok=True)
