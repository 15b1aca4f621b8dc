"""Proof that the decode loop reproduces a model: its log-probabilities against a plain forward pass, on a few tokens, whenever a model is loaded.

The loop rests on what the architecture does with explicit positions and masks. One that ignores them would give fluent, wrong answers; here it stops.
"""

from __future__ import annotations

from typing import Any

import torch

from valuedrift.engines.decoding.draws import drawable
from valuedrift.engines.decoding.prefill import check_attention, prefill
from valuedrift.engines.decoding.slots import SlotCache
from valuedrift.engines.prompting import no_numbers
from valuedrift.errors import UserError

_LENGTHS = (20, 11)
"""Tokens of the two canaries before decoding starts; different, so that rows at different places are tried."""
_STEPS = 3
_TOLERANCE = 0.03
"""Greatest divergence in nats. Seen with SmolLM2: 0.000 in float32 and 0.003–0.005 in bfloat16 when right; 0.09–0.20 with positions off by one, 0.8–2.3
without positions or mask."""


def check_decoding(model: Any) -> None:
    """Compare decoding through slots with plain forward passes.

    Args:
        model: A causal language model, as it will be used.

    Raises:
        UserError: The architecture cannot be decoded by the loop.
        DataError: The model's logits are not numbers, whatever it is asked.
    """
    layers = check_attention(model, sum(_LENGTHS) + _STEPS)
    try:
        with torch.inference_mode():
            texts = _texts(int(model.config.get_text_config().vocab_size))
            expected = _plain(model, texts)
            if not bool(drawable(expected).all()):
                raise no_numbers(str(model.config.name_or_path))
            divergence = _divergence(model, layers, texts, expected)
    except (TypeError, ValueError, IndexError, AttributeError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise _refusal(model, f"{type(error).__name__}: {error}") from error
    if not divergence < _TOLERANCE:
        raise _refusal(model, f"log-probabilities diverge by {divergence:.3g} nats")


def check_numbers(model: Any) -> None:
    """Ask a model of an architecture that was checked one short text.

    Raises:
        DataError: Its logits are not numbers.
    """
    text = _texts(int(model.config.get_text_config().vocab_size))[0].to(model.device)
    with torch.inference_mode():
        logits = model(input_ids=text[None], logits_to_keep=_STEPS).logits
    if not bool(drawable(logits.float().log_softmax(-1)).all()):
        raise no_numbers(str(model.config.name_or_path))


def _texts(vocabulary: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(vocabulary, (length + _STEPS,), generator=generator) for length in _LENGTHS]


def _divergence(model: Any, layers: int, texts: list[torch.Tensor], expected: torch.Tensor) -> float:
    """Mean Kullback–Leibler divergence of slot decoding from plain forward passes, in nats a token."""
    cache = SlotCache(layers=layers, rows=len(texts), places=max(_LENGTHS) + _STEPS, device=model.device)
    rows = torch.arange(len(texts), device=model.device)
    prefilled = prefill(model, [text[:-_STEPS].tolist() for text in texts])
    if prefilled is not None:
        cache.fill(rows, rows, prefilled)
    steps = []
    for step in range(_STEPS):
        positions = torch.tensor([[length + step] for length in _LENGTHS], device=model.device)
        ids = torch.stack([text[length + step] for text, length in zip(texts, _LENGTHS, strict=True)])[:, None].to(model.device)
        mask = cache.at(positions, model.dtype)
        steps.append(model(input_ids=ids, position_ids=positions, attention_mask=mask, past_key_values=cache, use_cache=True).logits[:, -1])
    return float((expected.exp() * (expected - torch.stack(steps, 1).float().log_softmax(-1))).sum(-1).mean())


def _plain(model: Any, texts: list[torch.Tensor]) -> torch.Tensor:
    """Log-probabilities [texts, steps, vocabulary] by plain forward passes under eager attention, the architecture's own definition of it."""
    used = model.config._attn_implementation
    model.set_attn_implementation("eager")
    logits = torch.stack([model(input_ids=text[None].to(model.device)).logits[0, -_STEPS:] for text in texts])
    model.set_attn_implementation(used)
    return logits.float().log_softmax(-1)


def _refusal(model: Any, why: str) -> UserError:
    return UserError(
        f"the transformers engine does not reproduce a {model.config.model_type!r} model ({why})",
        where=str(model.config.name_or_path) or None,
        fix="use the vllm engine for this architecture",
    )
