"""What engines share around the drawing itself: checked prompts, tokens that end an answer, and responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from valuedrift.engines.prompting import prompt_tokens
from valuedrift.errors import UserError
from valuedrift.sampling import Prompt, Response, Sampling


def tokenise_prompts(tokenizer: Any, config: Any, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[int]]:
    """Token ids of all prompts, after checking that they can be sampled.

    Args:
        tokenizer: The model's.
        config: The model's; its context length bounds prompt and answer together.
        prompts: Questions with ids.
        sampling: How long answers may be.

    Raises:
        UserError: Equal prompt ids, or a prompt that leaves no room for ``max_new_tokens``.
    """
    ids = [prompt.prompt_id for prompt in prompts]
    if len(set(ids)) != len(ids):
        raise UserError("equal prompt ids in one sampling", fix="every prompt needs an id of its own: its draws are seeded by it")
    room = context_length(config)
    tokenised = [prompt_tokens(tokenizer, prompt.text) for prompt in prompts]
    for prompt, tokens in zip(prompts, tokenised, strict=True):
        if room is not None and len(tokens) + sampling.max_new_tokens > room:
            raise UserError(
                f"prompt of {len(tokens)} tokens leaves no room for {sampling.max_new_tokens} new ones in a context of {room}",
                where=f"prompt {prompt.prompt_id}",
                fix="shorten the prompt or lower max_new_tokens",
            )
    return tokenised


def context_length(config: Any) -> int | None:
    """Tokens that a model can take, prompt and answer together; None where its config does not say."""
    length: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)
    return length


def end_tokens(generation_config: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end an answer: the generation config's and the tokenizer's end token."""
    configured = generation_config.eos_token_id
    tokens = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in [*tokens, tokenizer.eos_token_id] if token is not None)


def to_response(tokenizer: Any, prompt_id: str, sample_idx: int, tokens: Sequence[int], *, ended: bool) -> Response:
    """A response from the tokens of an answer, without the one that ended it."""
    return Response(
        prompt_id=prompt_id,
        sample_idx=sample_idx,
        response=tokenizer.decode(list(tokens), skip_special_tokens=True),
        finish_reason="stop" if ended else "length",
        n_tokens=len(tokens),
    )
