"""The engine for GPUs: vLLM, freshly built for every checkpoint.

Swapping weights into a running vLLM engine (``reload_weights``) gave wrong answers without an error, so an engine never outlives its weights. A single
LoRA adapter is applied as it is; a deeper stack is merged into a temporary folder first.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from valuedrift.engines.base import Engine, EngineSettings, LocalEngine, Progress
from valuedrift.engines.prompting import (
    context_length,
    end_tokens,
    excerpt,
    no_numbers,
    option_tokens,
    prompt_tokens,
    to_response,
    tokenise_prompts,
)
from valuedrift.errors import UserError
from valuedrift.fingerprint import seed_from
from valuedrift.sampling import Prompt, Response, Sampling
from valuedrift.weights import Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""LoRA ranks for which vLLM can reserve room."""
_REQUESTS = 4096
"""Requests given to vLLM at once; between them progress is told."""


class VllmEngineConfig(LocalEngine):
    """A local model under vLLM."""

    when = "on GPUs: `pip install 'valuedrift[gpu]'`"
    renders = frozenset({"system", "chat_template", "chat_template_kwargs"})

    type: Literal["vllm"] = Field(default="vllm", description="Kind of engine.")

    @classmethod
    def at(cls, weights: Weights, fingerprint: str, settings: EngineSettings) -> Engine:
        """See :meth:`LocalEngine.at`."""
        return VllmEngine(weights, fingerprint, settings)


class VllmEngine:
    """Samples and scores with vLLM.

    On a GPU a draw is seeded by weights, prompt, sample index and seed, as in the transformers engine (the draws themselves differ). On CPU vLLM 0.32
    cannot seed single requests: there a draw depends on the whole sampling it belongs to.

    Args:
        weights: The model at one checkpoint.
        fingerprint: Of the weights; draws are seeded by it.
        settings: Dtype and runtime (``max_rows`` sequences at once; vLLM sizes its own cache).

    Raises:
        UserError: vLLM is not installed, or the weights cannot be loaded.
    """

    def __init__(self, weights: Weights, fingerprint: str, settings: EngineSettings) -> None:
        if find_spec("vllm") is None:
            raise UserError("the vllm engine is not installed", fix="pip install 'valuedrift[gpu]', or use the transformers engine")
        for variable in ("VLLM_NO_USAGE_STATS", "DO_NOT_TRACK"):
            os.environ.setdefault(variable, "1")
        from transformers import AutoConfig, GenerationConfig
        from vllm import LLM  # type: ignore[import-not-found]  # installed where it is used
        from vllm.lora.request import LoRARequest  # type: ignore[import-not-found]  # installed where it is used
        from vllm.platforms import current_platform  # type: ignore[import-not-found]  # installed where it is used

        from valuedrift.models.loading import load_tokenizer

        self.settings = settings
        self._fingerprint = fingerprint
        self._seeded = not current_platform.is_cpu()
        self._merged: tempfile.TemporaryDirectory[str] | None = None
        folder, adapter = self._prepare(weights)
        self._tokenizer = load_tokenizer(weights.tokenizer)
        self._config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        generation = GenerationConfig.from_model_config(self._config)
        if (weights.base / "generation_config.json").exists():
            generation = GenerationConfig.from_pretrained(weights.base)
        self._end_tokens = end_tokens(generation, self._tokenizer)
        self._adapter = LoRARequest("adapter", 1, str(adapter)) if adapter else None
        self._llm: Any = LLM(
            model=str(folder),
            dtype=settings.dtype,
            trust_remote_code=False,
            load_format="safetensors",
            generation_config="vllm",
            max_num_seqs=settings.max_rows,
            enable_prefix_caching=True,
            enable_lora=adapter is not None,
            max_lora_rank=_rank(adapter) if adapter else _RANKS[0],
            seed=seed_from(fingerprint) % 2**31,
        )

    def sample(self, prompts: Sequence[Prompt], sampling: Sampling, progress: Progress | None = None) -> list[Response]:
        """See ``Engine.sample``."""
        from vllm import SamplingParams

        tokenised = tokenise_prompts(self._tokenizer, self._config, prompts, sampling)
        wanted = [(prompt, tokens, index) for prompt, tokens in zip(prompts, tokenised, strict=True) for index in range(sampling.n)]
        params = [
            SamplingParams(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.most_tokens,
                stop_token_ids=sorted(self._end_tokens),
                seed=seed_from(self._fingerprint, prompt.prompt_id, index, sampling.seed) if self._seeded else None,
                detokenize=False,
                logprobs=0,  # of the drawn token alone: by it a model whose logits are not numbers is known
            )
            for prompt, _, index in wanted
        ]
        outputs = self._generate([tokens for _, tokens, _ in wanted], params, progress)
        responses = []
        for (prompt, asked, index), output in zip(wanted, outputs, strict=True):
            if not math.isfinite(output.outputs[0].cumulative_logprob):
                raise no_numbers(f"prompt {prompt.prompt_id}")
            drawn = list(output.outputs[0].token_ids)
            ended = bool(drawn) and drawn[-1] in self._end_tokens
            kept = drawn[:-1] if ended else drawn
            responses.append(to_response(self._tokenizer, prompt, asked, index, kept, sampling, ended=ended))
        return responses

    def score(self, prompts: Sequence[str], options: Sequence[str], *, alike: int = 1) -> NDArray[np.float64]:
        """See ``Engine.score``; one request a prompt and distinct stem of the options. vLLM's prefix cache finds what begins alike by itself."""
        import numpy as np
        from vllm import SamplingParams

        tokenised = [prompt_tokens(self._tokenizer, prompt, thought_over=True) for prompt in prompts]
        ways = [tuple(option_tokens(self._tokenizer, option)) for option in options]
        stems = _stems(ways)
        room, longest = context_length(self._config), max(map(len, ways), default=0)
        fitting = [place for place, tokens in enumerate(tokenised) if room is None or len(tokens) + longest <= room]
        asked = [(place, stem) for place in fitting for stem in stems]
        params = [
            SamplingParams(max_tokens=1, temperature=0.0, logprob_token_ids=sorted(stems[stem]), detokenize=False) for _, stem in asked
        ]
        outputs = self._generate([[*tokenised[place], *stem] for place, stem in asked], params, None)
        first_logprobs = {key: output.outputs[0].logprobs[0] for key, output in zip(asked, outputs, strict=True)}
        scores = np.full((len(prompts), len(options)), np.nan)
        for place in fitting:
            for column, way in enumerate(ways):
                scores[place, column] = sum(first_logprobs[place, way[:at]][token].logprob for at, token in enumerate(way))
            if np.isnan(scores[place]).any():
                raise no_numbers(f"prompt {excerpt(prompts[place])}")
        return scores

    def option_tokens(self, option: str) -> list[int]:
        """See ``Engine.option_tokens``."""
        return option_tokens(self._tokenizer, option)

    def close(self) -> None:
        """Free vLLM's engine and the merged folder."""
        self._llm = None
        if self._merged is not None:
            self._merged.cleanup()
            self._merged = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _prepare(self, weights: Weights) -> tuple[Path, Path | None]:
        """The folder vLLM loads, and the adapter it applies."""
        from valuedrift.models.checking import check_weights
        from valuedrift.models.loading import load_causal_lm, resolve_dtype

        check_weights(weights, dtype=resolve_dtype(self.settings.dtype))
        if not weights.adapters:
            return weights.base, None
        if len(weights.adapters) == 1 and _applicable(weights.adapters[0]):
            return weights.base, weights.adapters[0]
        self._merged = tempfile.TemporaryDirectory(prefix="valuedrift-merged-")
        model, tokenizer = load_causal_lm(weights, dtype=self.settings.dtype)
        model.save_pretrained(self._merged.name)
        tokenizer.save_pretrained(self._merged.name)
        return Path(self._merged.name), None

    def _generate(self, prompts: Sequence[Sequence[int]], params: Sequence[Any], progress: Progress | None) -> list[Any]:
        outputs: list[Any] = []
        for at in range(0, len(prompts), _REQUESTS):
            batch = [{"prompt_token_ids": list(tokens)} for tokens in prompts[at : at + _REQUESTS]]
            outputs += self._llm.generate(batch, list(params[at : at + _REQUESTS]), use_tqdm=False, lora_request=self._adapter)
            if progress is not None:
                progress(len(outputs), len(prompts))
        return outputs


def _stems(ways: Iterable[tuple[int, ...]]) -> dict[tuple[int, ...], set[int]]:
    """The proper prefixes of token sequences, and the tokens that follow each."""
    stems: dict[tuple[int, ...], set[int]] = {}
    for way in ways:
        for at, token in enumerate(way):
            stems.setdefault(way[:at], set()).add(token)
    return stems


def _adapter_config(adapter: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    return config


def _applicable(adapter: Path) -> bool:
    """Whether vLLM can apply an adapter itself: plain LoRA of a rank it has room for."""
    config = _adapter_config(adapter)
    return (
        config.get("peft_type") == "LORA"
        and not config.get("use_dora")
        and not config.get("modules_to_save")
        and config.get("r", 0) <= _RANKS[-1]
    )


def _rank(adapter: Path) -> int:
    """The smallest rank vLLM can reserve that holds the adapter's."""
    return next(rank for rank in _RANKS if rank >= _adapter_config(adapter)["r"])
