"""The Prefect server that commands speak to, and what is wrong with it in words."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from valuedrift.errors import UserError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_STARTING_SECONDS = 120.0
"""A server that was started in the background answers after 10 to 60 seconds."""


@contextmanager
def server(why: str) -> Iterator[SyncPrefectClient]:
    """A client of the Prefect server that the environment or the profile names.

    Args:
        why: Why one is needed, said where none is named.

    One that ``prefect server start --background`` began a moment ago is waited for.

    Raises:
        UserError: None is named, it does not answer, or it refuses.
    """
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import get_current_settings

    address = get_current_settings().api.url
    if not address:
        raise UserError(
            f"no Prefect server is named, and {why}",
            where="PREFECT_API_URL",
            fix="prefect server start; export PREFECT_API_URL=http://127.0.0.1:4200/api",
        )
    if httpx.URL(address).host in ("127.0.0.1", "localhost", "::1"):
        _await_start(address)
    where = f"PREFECT_API_URL {httpx.URL(address).copy_with(userinfo=b'')}"
    try:
        with get_client(sync_client=True) as client:
            yield client
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        fix = "set PREFECT_API_KEY or PREFECT_API_AUTH_STRING" if status in (401, 403) else "its log says why"
        raise UserError(f"the Prefect server answered {status}", where=where, fix=fix) from error
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise UserError(
            f"the Prefect server does not answer: {type(error).__name__}", where=where, fix="prefect server start, or name another"
        ) from error


def _await_start(address: str) -> None:
    """Wait for a server that starts in the background on this machine: the command that starts it does not."""
    import httpx
    import psutil
    from prefect.settings import PREFECT_HOME

    written = Path(PREFECT_HOME.value()) / "server.pid"
    while True:
        try:
            begun = psutil.Process(int(written.read_text(encoding="utf-8"))).create_time()
        except (OSError, ValueError, psutil.Error):
            return  # none was started so, or it is gone
        if time.time() - begun > _STARTING_SECONDS:
            return
        try:
            httpx.get(f"{address.rstrip('/')}/health", timeout=5.0)
        except httpx.TransportError:
            time.sleep(0.5)
        else:
            return


def may_pass(error: BaseException) -> bool:
    """Whether a fault is that the server is away, or broken for a while; not that it refuses."""
    from httpx import TransportError
    from prefect.exceptions import PrefectHTTPStatusError

    cause = error.__cause__ if isinstance(error, UserError) else error
    return isinstance(cause, TransportError) or (isinstance(cause, PrefectHTTPStatusError) and cause.response.status_code >= 500)
