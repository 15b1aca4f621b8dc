"""The Prefect server that commands speak to, and what is wrong with it in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from valuedrift.errors import UserError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient


@contextmanager
def server(why: str) -> Iterator[SyncPrefectClient]:
    """A client of the Prefect server that the environment or the profile names.

    Args:
        why: Why one is needed, said where none is named.

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


def may_pass(error: BaseException) -> bool:
    """Whether a fault is that the server is away, or broken for a while; not that it refuses."""
    from httpx import TransportError
    from prefect.exceptions import PrefectHTTPStatusError

    cause = error.__cause__ if isinstance(error, UserError) else error
    return isinstance(cause, TransportError) or (isinstance(cause, PrefectHTTPStatusError) and cause.response.status_code >= 500)
