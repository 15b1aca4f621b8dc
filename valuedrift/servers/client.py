"""Many questions to one server: side by side, in its pace, within a budget, and none that was answered before."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from valuedrift.errors import UserError
from valuedrift.progress import Progress
from valuedrift.servers.asking import Asking, Means
from valuedrift.servers.chat import Fault, Reply, Request, parse_reply
from valuedrift.servers.prices import price_of
from valuedrift.servers.record import Limit, Record, Spent
from valuedrift.servers.server import OPENAI, Server

_T = TypeVar("_T")


class Client:
    """Asks one model behind one server.

    A request is tried again after a 429, a 5xx, a timeout or a cut connection only: after the wait that the server asks for, else after an exponentially
    growing one with full jitter. What concerns all requests (a key, a model, an address, the budget) ends the asking with one message; requests
    under way are waited for, and every reply is kept.

    Args:
        server: Who is asked, how fast, for how much.
        replies: File that keeps every reply and what was spent; None keeps them for the life of this object.

    Raises:
        UserError: The key is missing or holds what no HTTP header may, the price file lacks the model, or the file of replies cannot be used.
    """

    def __init__(self, server: Server, replies: Path | None = None) -> None:
        self.server = server
        limit = Limit(server.budget.tokens, server.budget.usd) if server.budget else Limit()
        self._means = Means(server, key_of(server), price_of(server.model, server.budget), limit, Record(replies))

    @property
    def spent(self) -> Spent:
        """What was spent so far, over all starts with this file of replies."""
        return self._means.record.spent()

    def ask(self, requests: Sequence[Request], progress: Callable[[Progress], None] | None = None) -> list[Reply | Fault]:
        """Get the reply of every request.

        Args:
            requests: Any number; equal ones are asked once.
            progress: Called with how many are answered, and what was spent.

        Returns:
            A reply each, in the order of ``requests``; a fault in place of one that the server does not answer though it answers others.

        Raises:
            UserError: The server refuses key, model, address or settings; or the budget is used up. Replies are kept.
            StageError: The server is out of reach or answers nothing of use. Replies are kept.
        """
        return _run(self._ask(requests, progress))

    def close(self) -> None:
        """Close the file of replies."""
        self._means.record.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def _ask(self, requests: Sequence[Request], progress: Callable[[Progress], None] | None) -> list[Reply | Fault]:
        answers: dict[str, Reply | Fault] = {}
        missing: dict[str, Request] = {}
        for request in requests:
            if request.key not in answers and request.key not in missing:
                kept = self._means.record.find(request.key)
                reply = None if kept is None else parse_reply(kept)
                if reply is None:
                    missing[request.key] = request
                else:
                    answers[request.key] = reply
        if missing:
            await Asking(self._means, missing, answers, progress).run()
        return [answers[request.key] for request in requests]


def key_of(server: Server) -> str:
    """The key that is sent to a server; empty where none is.

    Raises:
        UserError: There is none where the server surely wants one, or it is not a key.
    """
    variable = server.key_variable
    key = os.environ.get(variable, "").strip() if variable else ""
    if not (key.isascii() and key.isprintable()):
        raise UserError("the key holds characters that no key has", where=f"${variable}", fix="set it again, without line breaks")
    meant = variable != Server.model_fields["key_variable"].default or server.base_url == OPENAI
    if variable and meant and not key:  # nothing is sent to a server that would surely refuse it
        raise UserError("no key", where=f"${variable}", fix="set the variable, or name another one: key_variable")
    return key


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run to its end, also where an event loop runs already (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
