"""The default engine: transformers models under our own decode loop, fast on CPU and right on any device."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from valuedrift.engines import attention
from valuedrift.engines.base import EngineSettings, Progress
from valuedrift.engines.canary import check_decoding
from valuedrift.engines.decoding import Answer, Limits, decode
from valuedrift.engines.draws import sequence_uniforms
from valuedrift.engines.identity import engine_identity
from valuedrift.engines.prompting import option_tokens, prompt_style, prompt_tokens
from valuedrift.engines.scoring import score_options
from valuedrift.errors import UserError
from valuedrift.models.loading import load_causal_lm
from valuedrift.sampling import Prompt, Response, Sampling
from valuedrift.weights import Weights

NAME = "transformers"


class TransformersEngine:
    """Samples and scores with a transformers model.

    Draws depend on weights, prompt, sample index and seed, never on batch size or the order of prompts.

    Args:
        weights: The model at one checkpoint.
        fingerprint: Of the weights; draws are seeded by it.
        settings: Dtype and runtime.

    Raises:
        UserError: The weights cannot be loaded, the device does not exist, or the architecture is not one the loop reproduces.
    """

    def __init__(self, weights: Weights, fingerprint: str, settings: EngineSettings) -> None:
        self.settings = settings
        if self.settings.threads is not None:
            torch.set_num_threads(self.settings.threads)
        self._fingerprint = fingerprint
        self._model, self._tokenizer = load_causal_lm(weights, dtype=self.settings.dtype, device=_device(self.settings.device))
        attention.fold(self._model)
        check_decoding(self._model)
        self._end_tokens = _end_tokens(self._model, self._tokenizer)

    @property
    def name(self) -> str:
        """``transformers``."""
        return NAME

    def identity(self) -> dict[str, Any]:
        """See ``Engine.identity``."""
        return {**engine_identity(NAME, dtype=self.settings.dtype), "prompt_style": prompt_style(self._tokenizer)}

    def sample(self, prompts: Sequence[Prompt], sampling: Sampling, progress: Progress | None = None) -> list[Response]:
        """See ``Engine.sample``."""
        ids = [prompt.prompt_id for prompt in prompts]
        if len(set(ids)) != len(ids):
            raise UserError("equal prompt ids in one sampling", fix="every prompt needs an id of its own: its draws are seeded by it")
        groups = [self._answers(prompt, sampling) for prompt in prompts]
        total, done = len(prompts) * sampling.n, 0

        def tell(more: int) -> None:
            nonlocal done
            done += more
            if progress is not None:
                progress(done, total)

        decode(
            self._model,
            groups,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            end_tokens=self._end_tokens,
            limits=Limits(max_rows=self.settings.max_rows, cache_tokens=self.settings.cache_tokens),
            progress=tell,
        )
        return [
            self._response(prompt.prompt_id, index, answer)
            for prompt, group in zip(prompts, groups, strict=True)
            for index, answer in enumerate(group)
        ]

    def score(self, prompts: Sequence[str], options: Sequence[str]) -> NDArray[np.float64]:
        """See ``Engine.score``."""
        return score_options(
            self._model,
            [prompt_tokens(self._tokenizer, prompt) for prompt in prompts],
            [option_tokens(self._tokenizer, option) for option in options],
        )

    def close(self) -> None:
        """Free the model."""
        self._model = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _answers(self, prompt: Prompt, sampling: Sampling) -> list[Answer]:
        tokens = prompt_tokens(self._tokenizer, prompt.text)
        room = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        if room is not None and len(tokens) + sampling.max_new_tokens > room:
            raise UserError(
                f"prompt of {len(tokens)} tokens leaves no room for {sampling.max_new_tokens} new ones in a context of {room}",
                where=f"prompt {prompt.prompt_id}",
                fix="shorten the prompt or lower max_new_tokens",
            )
        return [
            Answer(tokens, sequence_uniforms(self._fingerprint, prompt.prompt_id, index, sampling.seed, sampling.max_new_tokens))
            for index in range(sampling.n)
        ]

    def _response(self, prompt_id: str, index: int, answer: Answer) -> Response:
        return Response(
            prompt_id=prompt_id,
            sample_idx=index,
            response=self._tokenizer.decode(answer.tokens, skip_special_tokens=True),
            finish_reason="stop" if answer.ended else "length",
            n_tokens=len(answer.tokens),
        )


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"no such device: {name!r}", fix="auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device {name!r} is not available: torch sees no GPU", fix="use device cpu, or install a CUDA build of torch")
    return device


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end an answer: the generation config's, and the tokenizer's end token."""
    configured = model.generation_config.eos_token_id
    tokens = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in [*tokens, tokenizer.eos_token_id] if token is not None)
