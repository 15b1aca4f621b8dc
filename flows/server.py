"""The Prefect server that commands speak to, and what is wrong with it in words."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from valuedrift.errors import UserError

if TYPE_CHECKING:
    import httpx
    from prefect.client.orchestration import SyncPrefectClient

_STARTING_SECONDS = 120.0
"""A server answers 10 to 60 seconds after its command began."""
_PORT = 4200
"""Of a server whose address names none."""


@contextmanager
def server(why: str) -> Iterator[SyncPrefectClient]:
    """A client of the Prefect server that the environment or the profile names.

    Args:
        why: Why one is needed, said where none is named.

    One that ``prefect server start`` began on this machine a moment ago is waited for.

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
        _await_start(httpx.URL(address))
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


def _await_start(address: httpx.URL) -> None:
    """Wait for a server that is starting on this machine: it answers some time after its command began."""
    import httpx

    while _is_starting(address.port or _PORT):
        try:
            httpx.get(f"{str(address).rstrip('/')}/health", timeout=5.0)
        except httpx.TransportError:
            time.sleep(0.5)
        else:
            return


def _is_starting(port: int) -> bool:
    """Whether somebody on this machine began ``prefect server start`` a moment ago, for all that is known on this port, and it still runs."""
    import psutil

    for process in psutil.process_iter(["cmdline", "create_time"]):
        words = process.info["cmdline"] or ()
        starts = {"server", "start"} <= set(words) and any(Path(word).name == "prefect" for word in words)
        if starts and _port_named(words) in (None, port) and time.time() - process.info["create_time"] < _STARTING_SECONDS:
            return True
    return False


def _port_named(words: Sequence[str]) -> int | None:
    """The port that the words of a command name; None where they name none, and the environment may."""
    named = re.search(r" --port[ =](\d+)", " ".join(words))
    return int(named.group(1)) if named else None
