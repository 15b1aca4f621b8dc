"""The program's own decode loop under transformers: any machine, exact against plain forward passes, fast on CPUs."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from valuedrift.engines.base import Engine, EngineSettings, LocalEngine, Progress
from valuedrift.engines.continuing import Continued
from valuedrift.engines.prompting import context_length, end_tokens, excerpt, option_tokens, prompt_tokens, to_response, tokenise_prompts
from valuedrift.errors import UserError
from valuedrift.sampling import Prompt, Response, Sampling
from valuedrift.weights import Weights

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from valuedrift.engines.decoding.loop import Answer


class TransformersEngineConfig(LocalEngine):
    """A local model under the program's own decode loop."""

    when = "the default: any machine, fast on CPUs"
    renders = frozenset({"system", "chat_template", "chat_template_kwargs"})
    continues = True

    type: Literal["transformers"] = Field(default="transformers", description="Kind of engine.")

    @classmethod
    def at(cls, weights: Weights, fingerprint: str, settings: EngineSettings) -> Engine:
        """See :meth:`LocalEngine.at`."""
        return TransformersEngine(weights, fingerprint, settings)


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
        import torch

        from valuedrift.engines.decoding import attention
        from valuedrift.engines.decoding.canary import check_decoding
        from valuedrift.models.held import HeldModel

        self.settings = settings
        if self.settings.threads is not None:
            torch.set_num_threads(self.settings.threads)
        self._held = HeldModel(weights, dtype=self.settings.dtype, device=_device(self.settings.device))
        attention.fold(self._held.model)
        check_decoding(self._held.model)
        self._take(fingerprint)

    def load(self, weights: Weights, fingerprint: str) -> None:
        """See ``Sweep.load``."""
        from valuedrift.engines.decoding.canary import check_numbers

        self._held.put(weights)
        check_numbers(self._held.model)  # that the loop reproduces the architecture was seen when it was loaded
        self._take(fingerprint)

    def _take(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        self._model, self._tokenizer = self._held.model, self._held.tokenizer
        self._end_tokens = end_tokens(self._model.generation_config, self._tokenizer)

    def sample(self, prompts: Sequence[Prompt], sampling: Sampling, progress: Progress | None = None) -> list[Response]:
        """See ``Engine.sample``."""
        from valuedrift.engines.decoding.loop import Answer

        tokenised = tokenise_prompts(self._tokenizer, self._model.config, prompts, sampling)
        groups = [
            [Answer(tokens, self._uniforms(prompt.prompt_id, index, sampling), prompt_id=prompt.prompt_id) for index in range(sampling.n)]
            for prompt, tokens in zip(prompts, tokenised, strict=True)
        ]
        self._decode(groups, sampling.temperature, sampling.top_p, progress)
        return [
            to_response(self._tokenizer, prompt, answer.prompt, index, answer.tokens, sampling, ended=answer.ended)
            for prompt, group in zip(prompts, groups, strict=True)
            for index, answer in enumerate(group)
        ]

    def score(self, prompts: Sequence[str], options: Sequence[str], *, alike: int = 1) -> NDArray[np.float64]:
        """See ``Engine.score``."""
        from valuedrift.engines.decoding.scoring import score_options

        return score_options(
            self._model,
            [prompt_tokens(self._tokenizer, prompt, thought_over=True) for prompt in prompts],
            [option_tokens(self._tokenizer, option) for option in options],
            alike=alike,
            room=context_length(self._model.config),
            names=[excerpt(prompt) for prompt in prompts],
        )

    def option_tokens(self, option: str) -> list[int]:
        """See ``Engine.option_tokens``."""
        return option_tokens(self._tokenizer, option)

    @property
    def tokenizer(self) -> Any:
        """See ``Continues.tokenizer``."""
        return self._tokenizer

    @property
    def context(self) -> int | None:
        """See ``Continues.context``."""
        return context_length(self._model.config)

    def continuations(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], progress: Progress | None = None) -> list[Continued]:
        """See ``Continues.continuations``."""
        from valuedrift.engines.decoding.continuations import score_continuations

        return score_continuations(self._model, pairs, progress)

    def greedy(self, beginnings: Sequence[Sequence[int]], new_tokens: int, progress: Progress | None = None) -> list[list[int]]:
        """See ``Continues.greedy``."""
        import numpy as np

        from valuedrift.engines.decoding.loop import Answer

        answers = [Answer(beginning, np.zeros(new_tokens), prompt_id=f"number {index}") for index, beginning in enumerate(beginnings, 1)]
        self._decode([[answer] for answer in answers], 0.0, 1.0, progress)
        return [answer.tokens for answer in answers]

    def close(self) -> None:
        """Free the model."""
        import torch

        del self._held
        self._model = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _decode(self, groups: Sequence[Sequence[Answer]], temperature: float, top_p: float, progress: Progress | None) -> None:
        """Draw answers in place, a group a prompt."""
        from valuedrift.engines.decoding.loop import Limits, decode

        total, done = sum(map(len, groups)), 0

        def tell(more: int) -> None:
            nonlocal done
            done += more
            if progress is not None:
                progress(done, total)

        decode(
            self._model,
            groups,
            temperature=temperature,
            top_p=top_p,
            end_tokens=self._end_tokens,
            limits=Limits(max_rows=self.settings.max_rows, cache_tokens=self.settings.cache_tokens),
            progress=tell,
        )

    def _uniforms(self, prompt_id: str, index: int, sampling: Sampling) -> NDArray[np.float64]:
        from valuedrift.engines.decoding.draws import sequence_uniforms

        return sequence_uniforms(self._fingerprint, prompt_id, index, sampling.seed, sampling.most_tokens)


def _device(name: str) -> torch.device:
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"no such device: {name!r}", fix="auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device {name!r} is not available: torch sees no GPU", fix="use device cpu, or install a CUDA build of torch")
    return device
