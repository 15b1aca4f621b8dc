"""The engine without weights: a model behind an OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from valuedrift.engines.base import Engine, Progress, RemoteEngine
from valuedrift.errors import UserError
from valuedrift.fingerprint import seed_from
from valuedrift.progress import Progress as Step
from valuedrift.sampling import Prompt, Response, Sampling
from valuedrift.servers.chat import Fault, Reply, Request, make_request
from valuedrift.servers.options import filled, option_masses, plain
from valuedrift.servers.server import OPENAI, Server
from valuedrift.thoughts import ThoughtTags, joined, split_thought

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from valuedrift.servers.prices import AskingCost

_LISTED = 20
"""Likeliest first tokens asked for: as many as OpenAI allows."""
_BEGINNING = 2
"""Characters from which a token counts as the beginning of an option."""
_SEEDS = 2**31
"""Seeds that every server takes are below this."""


class OpenAIEngineConfig(Server, RemoteEngine):
    """A model behind an OpenAI-compatible server. What it is asked leaves this machine for the one that ``base_url`` names."""

    when = "a large or closed model, or one that another machine serves: see [servers](servers.md)"
    renders = frozenset({"system", "chat_template_kwargs"})

    type: Literal["openai"] = Field(default="openai", description="Kind of engine.")
    send_seed: bool = Field(
        default=True, description="Send a seed with every draw, so that servers that know it draw the same again; some refuse the field."
    )

    def identity(self) -> dict[str, Any]:
        """What changes its answers, as far as a name can say it: model, revision, extra fields, whether draws are seeded; not where the server stands."""
        return {"engine": self.type, "version": self.version, **self.model_identity(), "send_seed": self.send_seed}

    def drawing_identity(self) -> dict[str, Any]:
        """See :meth:`RemoteEngine.drawing_identity`."""
        return {name: value for name, value in self.identity().items() if name != "model"}

    def asking_cost(self, prompts: Sequence[str], draws: int, answer_tokens: int, bring: Callable[[str], str] = str) -> AskingCost:
        """Every draw is a request of its own. See :meth:`RemoteEngine.asking_cost`."""
        from valuedrift.servers.prices import asking_cost

        requests = [make_request(self, _message(prompt), limit=answer_tokens) for prompt in prompts]
        return asking_cost(self.with_prices(bring), requests, draws)

    def open(self, *, device: str = "auto", threads: int | None = None, cache_tokens: int = 65_536, keep: Path | None = None) -> Engine:
        """The engine; nothing is asked yet, and device, threads and cache are of no concern. See :meth:`EngineBase.open`."""
        from valuedrift.servers.record import replies_file

        return OpenAIEngine(self, replies_file(keep, f"engine-{self.model}", self.identity()))

    def check_sampling(self, sampling: Sampling) -> None:
        """Arguments of the chat template are told once, and to a server that takes them. See :meth:`RemoteEngine.check_sampling`."""
        told = "chat_template_kwargs"
        if told in sampling.rendering and told in self.extra:
            raise ValueError(f"`{told}` stands in `sampling` and in `extra` of the engine; say it once")
        if told in sampling.rendering and self.base_url.rstrip("/") == OPENAI:
            raise ValueError(f"`sampling.{told}`: {OPENAI} does not take it; servers of vLLM and SGLang do")

    def with_paths(self, change: Callable[[str], str]) -> Self:
        """The same with another price file."""
        return self.with_prices(change)


class OpenAIEngine:
    """Samples and scores by asking a server; every draw is a request of its own, so that order, number and batching change none.

    Args:
        config: Who is asked.
        replies: File that keeps every reply and what was spent.

    Raises:
        UserError: The price file or the file of replies cannot be used.
    """

    def __init__(self, config: OpenAIEngineConfig, replies: Path) -> None:
        from valuedrift.servers.client import Client

        self._config = config
        self._client = Client(config, replies)

    def sample(self, prompts: Sequence[Prompt], sampling: Sampling, progress: Progress | None = None) -> list[Response]:
        """Draw answers; see ``Engine.sample``.

        A draw that the server does not answer though it answers others (a text too long for it, say) is an empty response with finish_reason ``failed``.

        Raises:
            UserError: Equal prompt ids; the server refuses, or the budget is used up: the same call goes on from there.
            StageError: The server is out of reach.
        """
        ids = [prompt.prompt_id for prompt in prompts]
        if len(set(ids)) != len(ids):
            raise UserError("equal prompt ids in one sampling", fix="every prompt needs an id of its own: its draws are seeded by it")
        drawn = [(prompt, index) for prompt in prompts for index in range(sampling.n)]
        replies = self._client.ask([self._draw(prompt, index, sampling) for prompt, index in drawn], _in_sequences(progress))
        return [_response(prompt.prompt_id, index, reply, sampling.thoughts) for (prompt, index), reply in zip(drawn, replies, strict=True)]

    def score(self, prompts: Sequence[str], options: Sequence[str], *, alike: int = 1) -> NDArray[np.float64]:
        """Log-probabilities of options that are one token each; see ``Engine.score``.

        The server lists its 20 likeliest first tokens; an option's spellings (after a space, in other case, in quotes) are added up, because nobody can tell
        how the server's tokenizer spells it. One that is not listed gets the most that it can have: the probability of the least likely token
        that is, or its share of what is left, whichever is less.

        Raises:
            UserError: The server gives no log-probabilities, or an option is more than one token.
        """
        import numpy as np

        requests = [
            make_request(self._config, _message(text), limit=1, temperature=1.0, logprobs=True, top_logprobs=_LISTED) for text in prompts
        ]
        replies = self._client.ask(requests)
        listed = [reply.answers[0].first if isinstance(reply, Reply) else None for reply in replies]
        if any(isinstance(reply, Reply) and tokens is None for reply, tokens in zip(replies, listed, strict=True)):
            raise UserError(
                "the server gives no log-probabilities, so options cannot be scored",
                where=self._config.base_url,
                fix="a server or model that gives them (logprobs, top_logprobs), or a local engine",
            )
        split = _more_than_one_token([tokens for tokens in listed if tokens is not None], options)
        if split is not None:
            raise UserError(
                f"the option {split!r} is more than one token", where=self._config.model, fix="options of one token, e.g. A, B, C"
            )
        rows = [[np.nan] * len(options) if tokens is None else filled(option_masses(tokens, options), tokens) for tokens in listed]
        return np.array(rows, dtype=np.float64).reshape(len(prompts), len(options))

    def option_tokens(self, option: str) -> list[int]:
        """See ``Engine.option_tokens``.

        Raises:
            UserError: Always: a server does not tell how it cuts text into tokens.
        """
        raise UserError("a server does not tell its tokens", where=self._config.base_url, fix="as a judge, take type: openai")

    def close(self) -> None:
        """Close the file of replies."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _draw(self, prompt: Prompt, index: int, sampling: Sampling) -> Request:
        config = self._config
        greedy = sampling.temperature == 0
        place = (config.model, config.revision, prompt.prompt_id, index, sampling.seed)
        return make_request(
            config,
            [dict(message) for message in sampling.put(prompt).messages],
            limit=sampling.most_tokens,
            draw="" if greedy else "\x1f".join(map(str, place)),
            temperature=sampling.temperature,
            top_p=sampling.top_p if sampling.top_p < 1 else None,
            seed=seed_from(*place) % _SEEDS if config.send_seed and not greedy else None,
            chat_template_kwargs=sampling.chat_template_kwargs or None,
        )


def _more_than_one_token(listed: Sequence[Sequence[Any]], options: Sequence[str]) -> str | None:
    """An option that never is a first token while a beginning of it is one."""
    seen = {plain(token.token) for tokens in listed for token in tokens}
    beginnings = [token for token in seen if len(token) >= _BEGINNING]
    forms = [(option, plain(option)) for option in options]
    return next((option for option, form in forms if form not in seen and any(form.startswith(token) for token in beginnings)), None)


def _response(prompt_id: str, index: int, reply: Reply | Fault, tags: ThoughtTags | None) -> Response:
    if isinstance(reply, Fault):
        return Response(prompt_id, index, "", "failed", 0)
    answer = reply.answers[0]
    # a server that tells the thought apart has closed it, whoever opened it
    told = split_thought(answer.text, tags, begun=None if answer.reasoning is None else False)
    return Response(
        prompt_id=prompt_id,
        sample_idx=index,
        response=told.answer or answer.refusal or "",
        finish_reason="length" if answer.finish_reason == "length" else "stop",
        n_tokens=reply.usage.completion_tokens if reply.usage else 0,
        reasoning=joined(answer.reasoning, told.reasoning),
    )


def _message(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def _in_sequences(progress: Progress | None) -> Callable[[Step], None] | None:
    return None if progress is None else lambda step: progress(step.done, step.total)
