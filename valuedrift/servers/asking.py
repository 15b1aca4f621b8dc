"""One round of questions under way: tries, waits, turns, and what ends it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import tenacity

from valuedrift.errors import StageError, UserError
from valuedrift.progress import Progress
from valuedrift.servers.chat import Fault, Reply, Request, parse_reply
from valuedrift.servers.faults import Refusal, RequestFault, TransientFault, fault_of, shown
from valuedrift.servers.prices import Price
from valuedrift.servers.record import Begun, Limit, NotYet, Outcome, Record, Spent, TooDear
from valuedrift.servers.server import Server

_LARGEST = 16 << 20
"""Bytes of a response that are read; no completion is near it, and a server that never ends must not fill the memory."""
_KEPT = 20_000
"""Characters that are kept of a response that is no completion."""
_FIRST_WAIT_SECONDS = 0.5
"""Upper end of the first wait between two tries; doubled each time, with jitter over the whole of it."""
_AT_FIRST, _LATER = 3, 16
"""Requests in a row (or as many as are under way at once, if that is more) without an answer of use after which asking ends: where the server has not
given any yet, and where it has (then a few texts that it cannot take may stand side by side)."""
_SHORTEST_SECRET = 8
"""Characters from which a key is taken out of kept replies; shorter ones (`none`, `EMPTY`) are placeholders that occur in text."""
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


@dataclass(slots=True)
class Means:
    """What a client asks with."""

    server: Server
    key: str
    """Empty where none is sent."""
    price: Price
    limit: Limit
    record: Record
    answers: bool = False
    """Whether the server has answered something of use by now."""

    def redacted(self, text: str, shortest: int = 1) -> str:
        """A server's text without the key, if that has at least so many characters."""
        return text.replace(self.key, "[key]") if len(self.key) >= shortest else text


class Asking:
    """One call of :meth:`valuedrift.servers.client.Client.ask` under way.

    Args:
        means: What it is asked with.
        missing: Requests without an answer, by key.
        answers: Answers by key; filled here.
        progress: Called with how many are answered, and what was spent.
    """

    def __init__(
        self, means: Means, missing: dict[str, Request], answers: dict[str, Reply | Fault], progress: Callable[[Progress], None] | None
    ) -> None:
        self._means = means
        self._server = means.server
        self._queue = deque(missing.values())
        self._answers = answers
        self._total = len(missing) + len(answers)
        self._progress = progress
        self._door = asyncio.Lock()
        self._stopped = asyncio.Event()
        self._ended = asyncio.Event()
        self._under_way = 0
        self._held_until = 0.0
        self._error: Exception | None = None
        self._in_vain = 0
        self._last_fault: Exception | None = None

    async def run(self) -> None:
        """Ask until all are answered.

        Raises:
            UserError: See :meth:`valuedrift.servers.client.Client.ask`; what was under way is waited for and kept.
        """
        key = self._means.key
        workers = min(self._server.concurrency, len(self._queue))
        self._tell()
        async with httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=None,  # one clock for the whole exchange, see _exchange
            limits=httpx.Limits(max_connections=workers, max_keepalive_connections=workers),
        ) as http:
            if not self._means.answers:  # a wrong key, model or address is found out by one request
                await self._next(http)
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work(http))
        if self._error is not None:
            raise self._error
        if self._last_fault is not None and not any(isinstance(answer, Reply) for answer in self._answers.values()):
            raise self._hopeless(self._last_fault)

    async def _work(self, http: httpx.AsyncClient) -> None:
        while self._queue and not self._stopped.is_set():
            await self._next(http)

    async def _next(self, http: httpx.AsyncClient) -> None:
        request = self._queue.popleft()
        try:
            self._answers[request.key] = await self._reply(http, request)
        except _Stopped:
            return
        except Exception as error:  # whatever it is, requests under way are waited for and kept
            self._error = self._error or error
            self._stopped.set()
        self._tell()

    async def _reply(self, http: httpx.AsyncClient, request: Request) -> Reply | Fault:
        """The reply, after as many tries as it takes and the server's settings allow."""
        tries = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(TransientFault),
            stop=tenacity.stop_after_attempt(self._server.retries + 1),
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            reply: Reply = await tries(self._exchange, http, request)
        except (TransientFault, RequestFault, _Unusable) as fault:
            if not (isinstance(fault, RequestFault) and fault.of_text):
                self._in_vain += 1
                self._last_fault = fault
            if self._in_vain >= max(_LATER if self._means.answers else _AT_FIRST, self._server.concurrency):
                raise self._hopeless(fault) from fault
            return Fault(str(fault))
        self._in_vain = 0
        self._means.answers = True
        return reply

    async def _exchange(self, http: httpx.AsyncClient, request: Request) -> Reply:
        """One attempt, from its turn to what became of it."""
        means, most = self._means, self._most(request)
        attempt = await self._turn(request, most)
        self._under_way += 1
        outcome, text, cost, turn = Outcome.OPEN, None, most, 0.0
        try:
            async with asyncio.timeout(self._server.timeout_seconds):
                status, headers, content = await _post(http, f"{self._server.base_url}/chat/completions", request)
            text = means.redacted(content.decode("utf-8", "replace"), _SHORTEST_SECRET)
            if not 200 <= status < 300:
                outcome, cost, text = Outcome.REFUSED, Spent(0, 0.0), text[:_KEPT]
                refusal = Refusal(status, means.redacted(text), headers.get("Retry-After"), headers.get("Location"))
                raise fault_of(refusal, self._server)
            reply = parse_reply(text)
            if reply is None:
                outcome, text = Outcome.UNUSABLE, text[:_KEPT]
                raise _Unusable(text)
            outcome, cost = Outcome.REPLY, self._cost(reply, most)
            turn = self._pace(cost.tokens) - self._pace(request.likely_tokens) if reply.usage else 0.0
            return reply
        except TimeoutError as error:
            outcome = Outcome.LOST
            raise TransientFault(f"no answer within {self._server.timeout_seconds:g} s") from error
        except httpx.RequestError as error:
            unsent = isinstance(error, _UNSENT)
            outcome, cost = (Outcome.REFUSED, Spent(0, 0.0)) if unsent else (Outcome.LOST, most)
            what = "no connection" if unsent else "the connection was cut"
            raise TransientFault(means.redacted(f"{what} ({shown(str(error)) or type(error).__name__})")) from error
        finally:
            self._under_way -= 1
            if outcome is not Outcome.OPEN:
                means.record.end(attempt, outcome, text, most, cost, turn)
            self._ended.set()

    async def _turn(self, request: Request, most: Spent) -> Begun:
        """Wait until budget, pace and the server's own wish allow another request; the door lets one pass at a time."""
        async with self._door:
            while True:
                await self._sleep(self._held_until - time.monotonic())
                self._ended.clear()
                turn = self._pace(request.likely_tokens)
                match self._means.record.begin(request, most, self._means.limit, turn, time.time()):
                    case Begun() as begun:
                        return begun
                    case NotYet(seconds):
                        await self._sleep(seconds)
                    case TooDear() if self._under_way:
                        await self._ended.wait()  # their true cost is below what was set aside for them
                    case TooDear(spent):
                        raise self._budget_used(spent, most)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """Seconds until the next try; a wait that the server asks for holds all requests, not only this one."""
        fault = state.outcome.exception() if state.outcome else None
        asked = fault.retry_after if isinstance(fault, TransientFault) else None
        if asked is not None and asked > self._server.max_wait_seconds:
            raise StageError(
                f"the server asks to wait {asked:.0f} s ({fault})",
                where=self._server.base_url,
                fix="run the same command again then, or raise max_wait_seconds; what was answered is kept",
            )
        growing: float = tenacity.wait_random_exponential(multiplier=_FIRST_WAIT_SECONDS, max=self._server.max_wait_seconds)(state)
        seconds = growing if asked is None else asked + min(growing, 1.0)  # not all at once when the wait is over
        if asked is not None:
            self._held_until = max(self._held_until, time.monotonic() + asked)
        self._tell(f"again in {seconds:.1f} s: {fault}")
        return seconds

    async def _sleep(self, seconds: float) -> None:
        """Wait, unless the asking is stopped meanwhile."""
        if seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await self._stopped.wait()
            except TimeoutError:
                pass
        if self._stopped.is_set():
            raise _Stopped

    def _most(self, request: Request) -> Spent:
        return Spent(
            request.most_prompt_tokens + request.most_answer_tokens,
            self._means.price.of(request.most_prompt_tokens, request.most_answer_tokens),
        )

    def _cost(self, reply: Reply, most: Spent) -> Spent:
        """What a reply cost; by the estimate where the server does not count."""
        if reply.usage is None:
            return most
        prompt, answer = reply.usage.prompt_tokens, reply.usage.completion_tokens
        return Spent(prompt + answer, self._means.price.of(prompt, answer))

    def _pace(self, tokens: int) -> float:
        """Seconds that a request of so many tokens takes up."""
        requests, rate = self._server.requests_per_minute, self._server.tokens_per_minute
        return max(60 / requests if requests else 0.0, 60 * tokens / rate if rate else 0.0)

    def _budget_used(self, spent: Spent, most: Spent) -> UserError:
        budget, prices = self._server.budget, self._means.price
        assert budget is not None
        of_tokens = f"{spent.tokens:,} of {budget.tokens:,} tokens" if budget.tokens is not None else f"{spent.tokens:,} tokens"
        of_money = f", ${spent.usd:.4f} of ${budget.usd:.4f}" if budget.usd is not None else f", ${spent.usd:.4f}" if prices.prompt else ""
        return UserError(
            f"the budget is used up: {of_tokens}{of_money} spent, and the next request may take {most.tokens:,} tokens; "
            f"{len(self._answers):,} of {self._total:,} requests are answered",
            where=self._server.model,
            fix="raise the budget and run the same command again: what was answered is kept and not asked again",
        )

    def _hopeless(self, fault: Exception) -> UserError:
        if isinstance(fault, RequestFault):
            return UserError(f"the server refuses the requests ({fault})", where=self._server.base_url, fix=fault.fix)
        return StageError(
            f"the server gives no usable answer: {fault}",
            where=self._server.base_url,
            fix="check base_url (most end in /v1) and the server, then run the same command again: what was answered is kept",
        )

    def _tell(self, note: str = "") -> None:
        if self._progress is not None:
            self._progress(Progress(len(self._answers), self._total, note or self._means.record.spent().words()))


class _Stopped(Exception):
    """Another request found out that none will be answered any more."""


class _Unusable(Exception):
    """A success by its status, but no chat completion."""

    def __init__(self, text: str) -> None:
        kind = "HTML" if text.lstrip()[:1] == "<" else "something that is no chat completion"
        super().__init__(f"it answers with {kind}: {shown(text)[:80]!r}")


async def _post(http: httpx.AsyncClient, url: str, request: Request) -> tuple[int, httpx.Headers, bytes]:
    """Status, headers and at most ``_LARGEST`` bytes of the body."""
    content = bytearray()
    async with http.stream("POST", url, json=request.body) as response:
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > _LARGEST:
                break
    return response.status_code, response.headers, bytes(content)
