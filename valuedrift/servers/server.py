"""What is named of a server: which model, where, how fast it may be asked, and how much may be spent. Light to import."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

OPENAI = "https://api.openai.com/v1"
_OWN = (
    "model",
    "messages",
    "n",
    "seed",
    "stream",
    "logprobs",
    "top_logprobs",
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
)
"""Fields of a request that the program sets itself."""
_SECRET = ("api_key", "api-key", "apikey", "authorization")


class Budget(BaseModel):
    """What may be spent in all, also over several starts of the same command: all that its file of replies holds is counted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: int | None = Field(default=None, ge=1, description="Tokens of prompts and answers together.")
    usd: float | None = Field(default=None, gt=0, description="Money, US dollars; needs `prices`.")
    prices: str | None = Field(
        default=None, description="YAML or JSON file: by model name, `input` and `output` in US dollars for a million tokens."
    )

    @model_validator(mode="after")
    def _priced(self) -> Self:
        if self.usd is not None and self.prices is None:
            raise ValueError("a budget in money needs `prices`, a file of US dollars for a million tokens by model")
        return self


class Server(BaseModel):
    """A model behind an OpenAI-compatible server.

    Identity are ``model``, ``revision``, ``extra`` and ``limit_field``: they change what is answered. Where the server stands, how fast it is asked and
    what may be spent are runtime. So the same model name on two servers shares results; where two servers mean different weights by one name, give
    ``revision``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(min_length=1, description="Name of the model at the server; a dated one, where there is one, stays the same model.")
    revision: str = Field(
        default="", description="Tells models of one name apart (a commit, a quantisation); never sent, but part of the identity."
    )
    base_url: str = Field(default=OPENAI, description="Address before `/chat/completions`; most end in `/v1`. Runtime.")
    key_variable: str | None = Field(
        default="OPENAI_API_KEY",
        min_length=1,
        description="Environment variable that holds the key; where it is not set none is sent (local servers). null: never send one.",
    )
    extra: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Further fields of every request, e.g. {chat_template_kwargs: {enable_thinking: false}}. Identity.",
    )
    limit_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        default="max_tokens", description="What the server calls the longest answer; OpenAI's newer models want max_completion_tokens."
    )
    concurrency: int = Field(default=8, ge=1, le=1024, description="Requests under way at once. Runtime.")
    requests_per_minute: float | None = Field(default=None, gt=0, description="Requests a minute at most, evenly spaced. Runtime.")
    tokens_per_minute: float | None = Field(default=None, gt=0, description="Tokens a minute at most, estimated until known. Runtime.")
    timeout_seconds: float = Field(default=60.0, gt=0, description="An answer that takes longer is given up and asked again, s. Runtime.")
    retries: int = Field(default=6, ge=0, description="Further tries after a 429, a 5xx, a timeout or a cut connection. Runtime.")
    max_wait_seconds: float = Field(
        default=120.0, gt=0, description="Longest wait between two tries, s; a server that asks for a longer one ends the work. Runtime."
    )
    budget: Budget | None = Field(default=None, description="What may be spent; asking stops before it would be passed. Runtime.")

    @field_validator("base_url")
    @classmethod
    def _address(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f"not an address: {error}") from error
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "no user, password, query or fragment in an address: a key belongs into the environment variable `key_variable`"
            )
        if parts.scheme not in ("http", "https") or not host or any(character.isspace() or ord(character) < 32 for character in url):
            raise ValueError("an address begins with http:// or https:// and a host, e.g. http://127.0.0.1:8000/v1")
        return url.rstrip("/").removesuffix("/chat/completions")

    @field_validator("extra")
    @classmethod
    def _foreign(cls, extra: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for name in extra:
            if name.lower() in _SECRET:
                raise ValueError(f"`{name}`: a key belongs into the environment variable `key_variable`")
            if name in _OWN:
                raise ValueError(f"`{name}` is set by the program")
        json.dumps(extra, allow_nan=False)
        return extra

    def model_identity(self) -> dict[str, Any]:
        """What of the server changes its answers."""
        named: dict[str, Any] = {"model": self.model, "extra": self.extra, "limit_field": self.limit_field}
        return {**named, "revision": self.revision} if self.revision else named

    def with_prices(self, change: Callable[[str], str]) -> Self:
        """The same with another price file, where there is one."""
        if self.budget is None or self.budget.prices is None:
            return self
        budget = self.budget.model_copy(update={"prices": change(self.budget.prices)})
        return self.model_copy(update={"budget": budget})
