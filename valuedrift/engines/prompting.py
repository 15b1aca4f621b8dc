"""How a question becomes a prompt, and drawn tokens an answer: the model's chat template, else the paper's form for base models (paper, Protocol: sampling)."""

from __future__ import annotations

import bisect
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from valuedrift.errors import DataError, UserError
from valuedrift.models.control import encode, text_tokens, veil
from valuedrift.models.others import first_line
from valuedrift.sampling import Message, Prompt, Response, Sampling
from valuedrift.thoughts import ThoughtTags, Told, answer_begins, open_thought, split_thought
from valuedrift.tokenizer_files import TEMPLATE_DATE

PROMPT_VERSION = 1
"""Raised when the text put to a model changes."""

PLAIN_FORM = "{question}\nResponse:"
"""For models without a chat template (paper, Protocol: sampling)."""
PLAIN_TURNS = {"user": PLAIN_FORM.replace("{question}", "{0}"), "assistant": " {0}\n"}
"""Turns where there is no chat template: each question in the paper's form, its answer after it, any other message on a line before."""
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_TAIL = 32
"""Last tokens of a prompt among which a tag that opens a thought is looked for."""


def render_prompt(tokenizer: Any, question: str, before: Sequence[Message] = (), sampling: Sampling | None = None) -> str:
    """The text put to the model for a question.

    With a chat template the question and the messages before it are the only ones, and the template decides about anything else (SmolLM2's adds its
    default system prompt where none is given).

    Args:
        tokenizer: The model's.
        question: What is asked.
        before: Messages that come before it.
        sampling: What it says of the chat template; None: the model's own, as it is.

    Raises:
        UserError: The template fails on these messages, or there is none that is as the sampling says.
    """
    messages = [*before, {"role": "user", "content": question}]
    template = _template(tokenizer, sampling)
    if template is None:
        return "".join(PLAIN_TURNS.get(message["role"], "{0}\n").format(message["content"]) for message in messages)
    told = sampling.chat_template_kwargs if sampling else {}
    return chat_text(tokenizer, messages, add_generation_prompt=True, template=template, told=told)


def _template(tokenizer: Any, sampling: Sampling | None) -> str | None:
    """The chat template that a question goes through; None where the model has none, and none is given.

    Raises:
        UserError: There is none of the name that the sampling gives, or it does not know what it is told.
    """
    own, wanted = tokenizer.chat_template or None, sampling.chat_template if sampling else None
    by_name: Mapping[str, str] = own if isinstance(own, Mapping) else {} if own is None else {"default": own}
    template = by_name.get("default") if wanted is None else wanted if "{" in wanted else by_name.get(wanted)
    where = str(getattr(tokenizer, "name_or_path", "tokenizer"))
    if template is None and (wanted is not None or by_name):
        known = f"its own: {', '.join(by_name)}" if by_name else "it has none at all"
        fix = f"sampling.chat_template: {known}; or a file (.jinja)"
        raise UserError(f"the model has no chat template {wanted or 'default'!r}", where=where, fix=fix)
    for name in sampling.chat_template_kwargs if sampling else ():
        if template is None or not re.search(rf"\b{re.escape(name)}\b", template):
            fix = "leave it out of sampling.chat_template_kwargs, or give a template that reads it"
            raise UserError(
                f"the model's chat template does not know {name!r}" if template else "the model has no chat template", where=where, fix=fix
            )
    return template


def prompt_tokens(
    tokenizer: Any, question: str, before: Sequence[Message] = (), *, sampling: Sampling | None = None, thought_over: bool = False
) -> list[int]:
    """Token ids of the rendered prompt; a template writes its own special tokens, the plain form gets the tokenizer's; what messages spell is text.

    Args:
        tokenizer: The model's.
        question: What is asked.
        before: Messages that come before it.
        sampling: What it says of the chat template; None: the model's own, as it is.
        thought_over: Close a thought that the template opens, empty: what is scored next is an answer.
    """
    veiled = [{**message, "content": veil(tokenizer, message["content"])} for message in before]
    text = render_prompt(tokenizer, veil(tokenizer, question), veiled, sampling)
    close = open_thought(text) if thought_over else None
    if close is not None:
        text = f"{text.rstrip()}\n\n{close}\n\n"
    tokens = encode(tokenizer, text, add_special_tokens=_template(tokenizer, sampling) is None)
    if not tokens:
        raise UserError("prompt without tokens", where=repr(question), fix="a question must not be empty")
    return tokens


def option_tokens(tokenizer: Any, option: str) -> list[int]:
    """Token ids of an option as a continuation.

    Raises:
        UserError: The option has no tokens, or one that the tokenizer does not know.
    """
    tokens = text_tokens(tokenizer, option)
    if not tokens:
        raise UserError("option without tokens", where=repr(option), fix="an option must not be empty")
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in tokens:
        raise UserError(f"the model's tokenizer does not know the option {option!r}", where=str(tokenizer.name_or_path))
    return tokens


def tokenise_prompts(tokenizer: Any, config: Any, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[int]]:
    """Token ids of all prompts, after checking that they can be sampled.

    Args:
        tokenizer: The model's.
        config: The model's; its context length bounds prompt and answer together.
        prompts: Questions with ids.
        sampling: How questions are put, and how long answers may be.

    Raises:
        UserError: Equal prompt ids, a chat template that is not as the sampling says, or a prompt that leaves no room for the longest thought and answer.
    """
    ids = [prompt.prompt_id for prompt in prompts]
    if len(set(ids)) != len(ids):
        raise UserError("equal prompt ids in one sampling", fix="every prompt needs an id of its own: its draws are seeded by it")
    room = context_length(config)
    tokenised = [prompt_tokens(tokenizer, put.text, put.before, sampling=sampling) for put in map(sampling.put, prompts)]
    for prompt, tokens in zip(prompts, tokenised, strict=True):
        if room is not None and len(tokens) + sampling.most_tokens > room:
            raise UserError(
                f"prompt of {len(tokens)} tokens leaves no room for {sampling.most_tokens} new ones in a context of {room}",
                where=f"prompt {prompt.prompt_id}",
                fix="shorten the prompt or lower max_new_tokens",
            )
    return tokenised


def context_length(config: Any) -> int | None:
    """Tokens that a model can take, prompt and answer together; None where its config does not say."""
    length: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)
    return length


def end_tokens(generation_config: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end an answer: the generation config's and the tokenizer's end token.

    Raises:
        UserError: The config names something that is no token.
    """
    configured = generation_config.eos_token_id
    tokens = configured if isinstance(configured, list) else [configured]
    if not all(token is None or isinstance(token, int) for token in tokens):
        raise UserError(f"eos_token_id {configured!r} of the generation config is no token", where=str(tokenizer.name_or_path))
    return frozenset(token for token in [*tokens, tokenizer.eos_token_id] if token is not None)


def to_response(
    tokenizer: Any, prompt: Prompt, asked: Sequence[int], sample_idx: int, tokens: Sequence[int], sampling: Sampling, *, ended: bool
) -> Response:
    """A response from the tokens of an answer, without the one that ended it; the thought before it apart.

    Args:
        tokenizer: The model's.
        prompt: What was asked.
        asked: Token ids of the prompt: a template may open the thought.
        sample_idx: Which of the prompt's answers it is.
        tokens: What was drawn.
        sampling: Limits of thought and answer, and tags.
        ended: Whether the model ended it.
    """
    opened = open_thought(tokenizer.decode(list(asked[-_TAIL:])), sampling.thoughts) is not None
    begun = opened or (sampling.thoughts is not None and sampling.thoughts.begun)
    told = _told(tokenizer, tokens, sampling.thoughts, begun)
    if sampling.max_thought_tokens:
        thought = _thought_length(tokenizer, tokens, sampling.thoughts, begun) if told.reasoning is not None else 0
        most = thought + sampling.max_new_tokens if thought <= sampling.max_thought_tokens else sampling.max_thought_tokens
        if len(tokens) > most:
            tokens, ended = tokens[:most], False
            told = _told(tokenizer, tokens, sampling.thoughts, begun)
    return Response(
        prompt_id=prompt.prompt_id,
        sample_idx=sample_idx,
        response=told.answer,
        finish_reason="stop" if ended else "length",
        n_tokens=len(tokens),
        reasoning=told.reasoning,
    )


def _told(tokenizer: Any, tokens: Sequence[int], tags: ThoughtTags | None, begun: bool) -> Told:
    """Thought and answer of tokens; tags may be control tokens, which are no part of either."""
    plain: str = tokenizer.decode(list(tokens), skip_special_tokens=True)
    told = split_thought(plain, tags, begun=begun)
    if not set(tokenizer.all_special_ids).isdisjoint(tokens):
        whole: str = tokenizer.decode(list(tokens), skip_special_tokens=False)
        if answer_begins(whole, tags, begun=False) is not None:
            told = split_thought(whole, tags, begun=begun)
            told = Told(_without_control(tokenizer, told.reasoning or ""), _without_control(tokenizer, told.answer))
    return told


def _without_control(tokenizer: Any, text: str) -> str:
    for token in tokenizer.all_special_tokens:
        text = text.replace(token, "")
    return text.strip()


def _thought_length(tokenizer: Any, tokens: Sequence[int], tags: ThoughtTags | None, begun: bool) -> int:
    """Tokens up to and with the tag that ends the thought; all of them where it does not end."""
    said = tokenizer.decode(list(tokens), skip_special_tokens=False)
    border = answer_begins(said, tags, begun=begun) or 0
    return bisect.bisect_left(range(len(tokens)), border, key=lambda count: len(tokenizer.decode(list(tokens[:count]))))


def chat_text(
    tokenizer: Any,
    messages: Sequence[Mapping[str, str]],
    *,
    add_generation_prompt: bool,
    template: str | None = None,
    told: Mapping[str, Any] = _NOTHING,
) -> str:
    """Messages by the model's chat template, which is told one day whenever it asks for today's: else answers would change from day to day.

    Args:
        tokenizer: The model's.
        messages: Role and content.
        add_generation_prompt: Whether what opens an answer stands at the end.
        template: In place of the model's own.
        told: What else the template is told.

    Raises:
        UserError: The template fails on these messages.
    """
    try:
        text: str = tokenizer.apply_chat_template(
            list(messages),
            chat_template=template,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            strftime_now=TEMPLATE_DATE.strftime,
            **told,
        )
    except Exception as error:  # a template is a program of others: it raises what it likes
        roles = sorted({message["role"] for message in messages})
        kinds = " and ".join(f"{'an' if role == 'assistant' else 'a'} {role} message" for role in roles)
        raise UserError(f"the model's chat template fails on {kinds}: {first_line(error)}", where=str(tokenizer.name_or_path)) from error
    return text


def no_numbers(where: str) -> DataError:
    """The error of a model whose logits are not numbers; no answer can be drawn from them, and no option scored."""
    return DataError("the model's logits are not numbers", where=where, fix="another dtype (float32), or other weights: these overflow")


def excerpt(text: str) -> str:
    """What names a prompt without an id in a message: its text, the middle left out where it is long."""
    return repr(text if len(text) <= 200 else f"{text[:100]} … {text[-100:]}")
