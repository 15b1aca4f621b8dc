"""A model behind an OpenAI-compatible server as a judge: one short request an order of the options, one distribution a response."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from valuedrift.errors import UserError
from valuedrift.judges.base import Configured, Judge, Judgement, Pair
from valuedrift.judges.prompted import JudgePrompt, PromptedJudge, stance_distribution, status_before_asking
from valuedrift.models.control import spells_control, told_of_servers
from valuedrift.progress import Progress
from valuedrift.servers.chat import Answer, Fault, Reply, Request, make_request
from valuedrift.servers.options import option_logprobs, vote_of
from valuedrift.servers.server import Server
from valuedrift.stance import JudgeStatus
from valuedrift.thoughts import answer_begins, answer_of

if TYPE_CHECKING:
    from valuedrift.servers.client import Client
    from valuedrift.servers.prices import AskingCost

READING_VERSION = 1
"""Raised whenever the same reply would be read as another stance; part of the identity."""
_CHUNK = 1024
"""Pairs whose requests are put together at a time, so that memory does not grow with the file."""

Report = Callable[[float, str], None]
"""Called with the share of a chunk that is done, and a note."""


class OpenAI(PromptedJudge, Server):
    """The same by any OpenAI-compatible server: log-probabilities of three options as the first token, or votes where there are none.

    Questions and answers leave this machine for the one that ``base_url`` names.
    """

    light = True
    when = "you want a large or closed model: see [servers](servers.md); text leaves the machine"

    type: Literal["openai"] = Field(default="openai", description="Kind of judge.")
    name: str = Field(default="openai", min_length=1, description="Name of the judge in every table.")
    method: Literal["auto", "logprobs", "votes"] = Field(
        default="auto",
        description="`logprobs`: of the first token; `votes`: the share of several answers; `auto`: log-probabilities, and votes where the server gives none.",
    )
    top_logprobs: int = Field(default=20, ge=3, le=20, description="Likeliest first tokens asked for; some servers allow fewer than 20.")
    votes: int = Field(
        default=6, ge=1, description="Answers drawn for a response where it is voted; shared out evenly over the orders, rounded up."
    )
    vote_temperature: float = Field(default=1.0, gt=0, le=2, description="Softmax temperature of a vote.")
    vote_tokens: int = Field(
        default=8, ge=1, description="Tokens that a vote may have; models that think aloud before they answer need more."
    )

    def own_identity(self) -> dict[str, Any]:
        """Model as it is named, prompt with its options, and how replies are read; not where the server stands."""
        reading = {
            "version": READING_VERSION,
            "method": self.method,
            "top_logprobs": self.top_logprobs,
            "votes": self.votes,
            "vote_temperature": self.vote_temperature,
            "vote_tokens": self.vote_tokens,
        }
        return {"type": self.type, **self.model_identity(), "reading": reading, **self.prompt_identity()}

    def load_uncalibrated(self, *, threads: int | None = None, device: str = "auto", keep: Path | None = None) -> Judge:
        """The judge; nothing is asked yet. See :meth:`JudgeBase.load`."""
        from valuedrift.servers.record import replies_file

        return OpenAIJudge(self, replies_file(keep, self.name, self.own_identity()))

    def provenance(self) -> dict[str, Any]:
        """Identity, and where the server stood."""
        return {**self.identity(), "base_url": self.base_url}

    def check(self) -> None:
        """See :meth:`JudgeBase.check`; the server is not asked."""
        from valuedrift.servers.client import key_of

        super().check()
        key_of(self)

    def with_paths(self, change: Callable[[str], str]) -> Self:
        """The same with another price file; see :meth:`JudgeBase.with_paths`."""
        return super().with_paths(change).with_prices(change)

    def asking_cost(self, prompts: Sequence[str], answers: int, answer_tokens: int, bring: Callable[[str], str] = str) -> AskingCost:
        """At most: answers that are refusals, empty or equal are not asked about. See :meth:`JudgeBase.asking_cost`."""
        from valuedrift.servers.chat import BYTES_A_TOKEN
        from valuedrift.servers.prices import asking_cost

        longest = "a" * (answer_tokens * BYTES_A_TOKEN)
        asker = OpenAIJudge(self, Path())  # its requests are made, none is sent
        requests = [request for prompt in prompts for request in asker.requests(Pair("", prompt, longest))]
        return asking_cost(self.with_prices(bring), requests, answers)


class OpenAIJudge(Configured[OpenAI]):
    """Judges by asking a server; see :class:`OpenAI`.

    Args:
        config: The judge as the study names it.
        replies: File that keeps every reply and what was spent.
    """

    def __init__(self, config: OpenAI, replies: Path) -> None:
        super().__init__(config)
        self._replies = replies
        self._votes = config.method == "votes"
        self._voted = self._in_thought = 0
        self._spelling: list[str] = []
        self._spent = ""

    def remarks(self) -> list[str]:
        """What was spent, where the replies lie, and how many judgements are votes."""
        voted = (
            [f"{self._voted} judged by votes: the server gave no log-probabilities of an answer"]
            if self._voted and self._config.method == "auto"
            else []
        )
        cut = [f"{self._in_thought} votes ended within a thought: raise vote_tokens"] if self._in_thought else []
        told = told_of_servers(self._spelling, "answer")
        return [
            *voted,
            *cut,
            *([told] if told else []),
            *([f"{self._spent} spent in all; replies are kept in {self._replies}"] if self._spent else []),
        ]

    def judge(self, pairs: Sequence[Pair], progress: Callable[[Progress], None] | None = None) -> list[Judgement]:
        """Judge pairs; see :class:`valuedrift.judges.base.Judge`.

        Raises:
            UserError: The server refuses, or the budget is used up; the same call goes on from there.
            StageError: The server is out of reach.
        """
        statuses = [status_before_asking(pair.response) for pair in pairs]
        self._spelling += [pair.response for pair in pairs if spells_control(pair.response)]
        judgements = [Judgement.without_stance(status) for status in statuses]
        rows = [row for row, status in enumerate(statuses) if status is JudgeStatus.OK]
        if rows:
            from valuedrift.servers.client import Client

            with Client(self._config, self._replies) as client:
                for start in range(0, len(rows), _CHUNK):
                    chunk = rows[start : start + _CHUNK]

                    def report(share: float, note: str, start: int = start, size: int = len(chunk)) -> None:
                        if progress is not None:
                            done = len(pairs) - len(rows) + start + int(share * size)
                            progress(Progress(done, len(pairs), f"{self.name} {note}"))

                    for row, judgement in zip(chunk, self._chunk(client, [pairs[row] for row in chunk], report), strict=True):
                        judgements[row] = judgement
                self._spent = client.spent.words()
        return judgements

    def requests(self, pair: Pair) -> list[Request]:
        """What is asked about one pair that has a stance, one request an order: log-probabilities unless the method is ``votes``."""
        ask = (lambda prompt: self._vote_request(prompt, self._votes_each)) if self._votes else self._logprob_request
        return [ask(prompt) for prompt in self._config.prompts_of(pair.prompt, pair.response)]

    @property
    def _votes_each(self) -> int:
        """Votes in each order."""
        return -(-self._config.votes // self._config.rotations)

    def _chunk(self, client: Client, pairs: Sequence[Pair], report: Report) -> list[Judgement]:
        asked = [self._config.prompts_of(pair.prompt, pair.response) for pair in pairs]
        judgements: list[Judgement | None] = [None] * len(pairs)
        if not self._votes:
            # one first: a server without log-probabilities must not be paid for a reply a pair that says nothing
            for part in ([0], range(1, len(pairs))):
                if not self._votes:
                    judged = self._by_logprobs(client, [asked[row] for row in part], report)
                    for row, judgement in zip(part, judged, strict=True):
                        judgements[row] = judgement
                    self._votes = self._votes or (len(part) == 1 and judgements[part[0]] is None)
        left = [row for row, judgement in enumerate(judgements) if judgement is None]
        for row, judgement in zip(left, self._by_votes(client, [asked[row] for row in left], report), strict=True):
            judgements[row] = judgement
        return [judgement for judgement in judgements if judgement is not None]

    def _by_logprobs(self, client: Client, asked: Sequence[Sequence[JudgePrompt]], report: Report) -> list[Judgement | None]:
        """Judgements by log-probabilities; None where the server gave none, or those of a thought."""
        requests = [self._logprob_request(prompt) for orders in asked for prompt in orders]
        replies = client.ask(requests, _by_share(report))
        size = self._config.rotations
        return [self._of_logprobs(orders, replies[at * size : (at + 1) * size]) for at, orders in enumerate(asked)]

    def _of_logprobs(self, orders: Sequence[JudgePrompt], replies: Sequence[Reply | Fault]) -> Judgement | None:
        rows = []
        for prompt, reply in zip(orders, replies, strict=True):
            if isinstance(reply, Fault):
                return Judgement.without_stance(JudgeStatus.FAILED)
            answer = reply.answers[0]
            if answer.refusal:
                return Judgement.without_stance(JudgeStatus.UNPARSED)
            if self._config.method == "auto" and _thinks(answer):
                return None
            if answer.first is None:
                if self._config.method == "logprobs":
                    raise UserError(
                        "the server gives no log-probabilities",
                        where=self._config.base_url,
                        fix="method: votes, or another server or model",
                    )
                return None
            logprobs = option_logprobs(answer.first, prompt.labels)
            if logprobs is None:
                return Judgement.without_stance(JudgeStatus.UNPARSED)
            rows.append(logprobs)
        (support, neutral, oppose), outside = stance_distribution(rows)
        return Judgement(support, neutral, oppose, outside, JudgeStatus.OK)

    def _by_votes(self, client: Client, asked: Sequence[Sequence[JudgePrompt]], report: Report) -> list[Judgement]:
        """Judgements by the share of votes."""
        flat = [prompt for orders in asked for prompt in orders]
        each = self._votes_each
        replies = client.ask([self._vote_request(prompt, each) for prompt in flat], _by_share(report))
        cast = [list(reply.answers[:each]) if isinstance(reply, Reply) else [] for reply in replies]
        # servers that know no `n` answer once: the other votes are asked for one by one
        short = [(at, draw) for at, answers in enumerate(cast) if answers for draw in range(len(answers), each)]
        more = client.ask([self._vote_request(flat[at], 1, draw=f"vote {draw}") for at, draw in short], _by_share(report))
        for (at, _), reply in zip(short, more, strict=True):
            cast[at] += reply.answers[:1] if isinstance(reply, Reply) else []
        self._in_thought += sum(_thinks(answer) and not answer_of(answer.text) for answers in cast for answer in answers)
        judgements = []
        for first in range(0, len(flat), self._config.rotations):
            orders = range(first, first + self._config.rotations)
            if any(len(cast[at]) < each for at in orders):
                judgements.append(Judgement.without_stance(JudgeStatus.FAILED))
                continue
            judgements.append(_count([(flat[at], vote_of(answer, flat[at].labels)) for at in orders for answer in cast[at]]))
        self._voted += len(judgements)
        return judgements

    def _logprob_request(self, prompt: JudgePrompt) -> Request:
        """At temperature 1, so that nothing changes where a server applies it to the log-probabilities that it reports."""
        top = self._config.top_logprobs
        return make_request(self._config, _message(prompt), limit=1, temperature=1.0, logprobs=True, top_logprobs=top)

    def _vote_request(self, prompt: JudgePrompt, n: int, draw: str = "") -> Request:
        config = self._config
        return make_request(config, _message(prompt), limit=config.vote_tokens, n=n, draw=draw, temperature=config.vote_temperature)


def _thinks(answer: Answer) -> bool:
    """Whether a reply holds a thought or the beginning of one."""
    return answer.reasoning is not None or answer_begins(answer.text) is not None


def _count(votes: Sequence[tuple[JudgePrompt, str | None]]) -> Judgement:
    chosen = [prompt.labels.index(label) for prompt, label in votes if label is not None]
    if not chosen:
        return Judgement.without_stance(JudgeStatus.UNPARSED)
    support, neutral, oppose = (chosen.count(stance) / len(chosen) for stance in range(3))
    return Judgement(support, neutral, oppose, 1.0 - len(chosen) / len(votes), JudgeStatus.OK)


def _message(prompt: JudgePrompt) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt.text}]


def _by_share(report: Report) -> Callable[[Progress], None]:
    return lambda step: report(step.done / max(step.total, 1), step.note)
