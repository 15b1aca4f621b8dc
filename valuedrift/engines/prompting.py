"""How a question becomes a prompt: the model's chat template, else the paper's form for base models (paper, Protocol: sampling)."""

from __future__ import annotations

from typing import Any

from valuedrift.errors import UserError

PROMPT_VERSION = 1
"""Raised when the text put to a model changes."""

PLAIN_FORM = "{question}\nResponse:"
"""For models without a chat template (paper, Protocol: sampling)."""

CHAT = f"chat-template-v{PROMPT_VERSION}"
PLAIN = f"plain-v{PROMPT_VERSION}"


def prompt_style(tokenizer: Any) -> str:
    """The style in which this tokenizer's model is asked; part of a sampling's identity."""
    return CHAT if tokenizer.chat_template else PLAIN


def render_prompt(tokenizer: Any, question: str) -> str:
    """The text put to the model for a question.

    With a chat template the question is the only message and the template decides about anything else (SmolLM2's adds its default system
    prompt).

    Raises:
        UserError: The template fails on a single user message.
    """
    if not tokenizer.chat_template:
        return PLAIN_FORM.format(question=question)
    from jinja2 import TemplateError

    try:
        text: str = tokenizer.apply_chat_template([{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True)
    except TemplateError as error:
        raise UserError(f"the model's chat template fails on a user message: {error}", where=str(tokenizer.name_or_path)) from error
    return text


def prompt_tokens(tokenizer: Any, question: str) -> list[int]:
    """Token ids of the rendered prompt; a template writes its own special tokens, the plain form gets the tokenizer's."""
    text = render_prompt(tokenizer, question)
    tokens: list[int] = tokenizer(text, add_special_tokens=not tokenizer.chat_template)["input_ids"]
    if not tokens:
        raise UserError("prompt without tokens", where=repr(question), fix="a question must not be empty")
    return tokens


def option_tokens(tokenizer: Any, option: str) -> list[int]:
    """Token ids of an option as a continuation.

    Raises:
        UserError: The option has no tokens, or one that the tokenizer does not know.
    """
    tokens: list[int] = tokenizer(option, add_special_tokens=False)["input_ids"]
    if not tokens:
        raise UserError("option without tokens", where=repr(option), fix="an option must not be empty")
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in tokens:
        raise UserError(f"the model's tokenizer does not know the option {option!r}", where=str(tokenizer.name_or_path))
    return tokens
