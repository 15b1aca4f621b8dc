"""What is asked of an engine and what comes back (paper, Protocol: sampling)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SerializerFunctionWrapHandler, field_validator, model_serializer

from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.thoughts import ThoughtTags


class Sampling(BaseModel):
    """How answers are drawn at every checkpoint. All of it is identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int = Field(default=5, ge=1, description="Answers a prompt and checkpoint (paper: 5).")
    temperature: float = Field(default=0.7, ge=0.0, le=5.0, description="Softmax temperature; 0 is greedy (paper: 0.7).")
    top_p: float = Field(default=1.0, gt=0.0, le=1.0, description="Nucleus mass (paper: 1).")
    max_new_tokens: int = Field(
        default=256,
        ge=1,
        description="Tokens an answer may have at most (paper: 256); its thought is among them unless that has a limit of its own.",
    )
    max_thought_tokens: int = Field(
        default=0,
        ge=0,
        description="Tokens that the thought of a reasoning model may have beside those of its answer; 0: thought and answer share `max_new_tokens`. "
        "A server is given the sum.",
    )
    thoughts: ThoughtTags | None = Field(
        default=None, description="How the model marks its thought, where that is in none of the usual ways: {open: …, close: …}."
    )
    system: str | None = Field(
        default=None,
        min_length=1,
        description="System message before every question that has none of its own; default: what the model's template does.",
    )
    chat_template: str | None = Field(
        default=None,
        min_length=1,
        description="In place of the model's own chat template: a Jinja file (`.jinja`, `.jinja2`, `.j2`, also `s3://bucket/key`), its text, or the name of "
        "another that the tokenizer has. Sampling alone: training keeps the model's own.",
    )
    chat_template_kwargs: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="What the chat template is told, e.g. {enable_thinking: false}; a server is sent it under this name.",
    )
    seed: int = Field(default=0, ge=0, description="Study seed, mixed with weights, prompt and sample index.")

    @property
    def most_tokens(self) -> int:
        """Tokens that are drawn at most, thought and answer together."""
        return self.max_new_tokens + self.max_thought_tokens

    @property
    def rendering(self) -> dict[str, Any]:
        """What it says of how a question is put to the model, by key; empty where the model's own way stands."""
        said = {name: getattr(self, name) for name in ("system", "chat_template", "chat_template_kwargs")}
        return {name: value for name, value in said.items() if value}

    @property
    def template_file(self) -> str | None:
        """The file that holds the chat template, where one is named."""
        named = self.chat_template is not None and not _is_template(self.chat_template) and self.chat_template.endswith(_TEMPLATE_FILES)
        return self.chat_template if named else None

    def with_template(self, text: str) -> Sampling:
        """The same with the text of its chat template.

        Raises:
            UserError: The text is no template.
        """
        if not _is_template(text):
            raise UserError("no chat template: nothing in it is Jinja", where=self.chat_template or "", fix="text with {{ … }} or {% … %}")
        return self.model_copy(update={"chat_template": text})

    def put(self, prompt: Prompt) -> Prompt:
        """A question as it is put to the model: with the system message, where it has none of its own."""
        if self.system is None or any(message["role"] == "system" for message in prompt.before):
            return prompt
        return replace(prompt, before=({"role": "system", "content": self.system}, *prompt.before))

    def identity(self) -> dict[str, Any]:
        """All of it, the text of a chat template by its fingerprint: nothing hangs on where that lies."""
        said = self.model_dump(mode="json")
        return {**said, "chat_template": fingerprint(self.chat_template)} if _is_template(self.chat_template or "") else said

    @field_validator("chat_template_kwargs")
    @classmethod
    def _template_is_told(cls, told: dict[str, JsonValue]) -> dict[str, JsonValue]:
        taken = sorted(set(told) & _TOLD_ANYWAY)
        if taken:
            raise ValueError(f"{taken[0]!r} is what every chat template is told by itself")
        return told

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is said by none of the later keys: answers drawn before there were these keep their fingerprint."""
        written: dict[str, Any] = handler(self)
        return {name: value for name, value in written.items() if value or name not in _LATER}


_LATER = ("max_thought_tokens", "thoughts", "system", "chat_template", "chat_template_kwargs")
"""Keys that version 0.2 did not have, or that it left out where they say nothing."""
_TEMPLATE_FILES = (".jinja", ".jinja2", ".j2")
_TOLD_ANYWAY = frozenset(
    {"messages", "add_generation_prompt", "strftime_now", "tokenize", "chat_template", "conversation", "continue_final_message"}
)


def _is_template(text: str) -> bool:
    """Whether a text is a template itself, not the name of one."""
    return "{{" in text or "{%" in text


Message = Mapping[str, str]
"""A turn of a dialogue: role (system, user or assistant) and content."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question as it is put to a model."""

    prompt_id: str
    text: str
    before: Sequence[Message] = ()
    """Messages that come before it: a system message, earlier turns. An engine puts all of them to the model."""

    @property
    def messages(self) -> list[Message]:
        """The whole dialogue, the question last."""
        return [*self.before, {"role": "user", "content": self.text}]

    @property
    def whole_text(self) -> str:
        """All that is put to the model, for what counts its length."""
        return "\n".join(message["content"] for message in self.messages)


@dataclass(frozen=True, slots=True)
class Response:
    """One sampled answer."""

    prompt_id: str
    sample_idx: int
    response: str
    """What follows the thought; empty where that did not end."""
    finish_reason: str
    """``stop`` (the model ended its answer), ``length`` (cut at a limit of tokens) or ``failed`` (a server gave no answer; the text is empty)."""
    n_tokens: int
    """Tokens that were drawn, thought and answer together; 0 where a server does not count them."""
    reasoning: str | None = None
    """The thought before the answer; None where there is none."""
