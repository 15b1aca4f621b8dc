"""The engine for GPUs: vLLM, which goes from checkpoint to checkpoint in one process.

Plain LoRA adapters are applied to the base that stays in memory, a stack of them as one; on CPU, where vLLM applies adapters slowly, they are merged. Merged
and full weights are exchanged in place. What is exchanged is proved (:mod:`valuedrift.engines.vllm_process`); where it cannot be, a fresh engine is needed.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from pydantic import Field

from valuedrift.engines.adapters import fold, is_plain_lora, rank
from valuedrift.engines.base import Engine, EngineSettings, EngineTuning, LocalEngine, Progress
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
from valuedrift.engines.vllm_process import VllmProcess
from valuedrift.engines.vllm_start import RANKS
from valuedrift.errors import UserError
from valuedrift.fingerprint import seed_from
from valuedrift.models.held import FreshNeededError
from valuedrift.sampling import Prompt, Response, Sampling
from valuedrift.weights import Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TOLD_TOKENS = 128
"""Tokens whose log-probabilities vLLM tells at most for one request."""


class VllmEngineConfig(EngineTuning, LocalEngine):
    """A local model under vLLM."""

    when = "on GPUs: `pip install 'valuedrift[gpu]'`"
    renders = frozenset({"system", "chat_template", "chat_template_kwargs"})

    type: Literal["vllm"] = Field(default="vllm", description="Kind of engine.")

    @classmethod
    def at(cls, weights: Weights, fingerprint: str, settings: EngineSettings) -> Engine:
        """See :meth:`LocalEngine.at`."""
        return VllmEngine(weights, fingerprint, settings)

    def open(self, *, device: str = "auto", threads: int | None = None, cache_tokens: int = 65_536, keep: Path | None = None) -> Engine:
        """The engine with its model in memory, as it is tuned. See :meth:`EngineBase.open`."""
        weights = self._weights()
        where: dict[str, Any] = {"device": device, "threads": threads, "cache_tokens": cache_tokens}
        return VllmEngine(weights, weights.fingerprint(), EngineSettings(dtype=self.dtype, **where, **self.tuning))


class _Made(NamedTuple):
    """What vLLM is given of a checkpoint.

    Attributes:
        base: Folder with the weights.
        adapter: An adapter that vLLM applies to them.
        merged: File with the tensors that adapters which are merged change.
    """

    base: Path
    adapter: Path | None = None
    merged: Path | None = None


class VllmEngine:
    """Samples and scores with vLLM.

    A draw is seeded by weights, prompt, sample index and seed, as in the transformers engine; the draws themselves differ.

    Args:
        weights: The model at one checkpoint.
        fingerprint: Of the weights; draws are seeded by it.
        settings: Dtype and runtime. On a GPU vLLM sizes its cache by ``gpu_memory``, on CPU by ``cache_tokens``.
        merges: Whether adapters are merged into the base before vLLM sees them; None: on CPU.

    Raises:
        UserError: vLLM is not installed, the device is not what it was built for, or the weights are at fault.
        StageError: vLLM does not start.
    """

    def __init__(self, weights: Weights, fingerprint: str, settings: EngineSettings, *, merges: bool | None = None) -> None:
        if find_spec("vllm") is None:
            raise UserError("the vllm engine is not installed", fix="pip install 'valuedrift[gpu]', or use the transformers engine")
        self.settings = settings
        self._process = VllmProcess(settings)
        self._merges = self._process.on_cpu if merges is None else merges
        self._scratch = tempfile.TemporaryDirectory(prefix="valuedrift-vllm-")
        self._tokenizer_files = ""
        try:
            made = self._prepared(weights, whole=True)
            self._process.start(made.base, made.adapter, weights.tokenizer)
            self._describe(weights, fingerprint)
        except BaseException:
            self.close()
            raise

    def load(self, weights: Weights, fingerprint: str) -> None:
        """Go on to another checkpoint.

        Args:
            weights: The checkpoint. What is wrong with its files is found before anything is exchanged.
            fingerprint: Of the weights.

        Raises:
            UserError: The checkpoint is at fault; another one can be loaded.
            FreshNeededError: It cannot be shown that vLLM would answer as a fresh engine does. This engine is of no use any more.
        """
        before = list(Path(self._scratch.name).iterdir())
        made = self._prepared(weights, whole=False)
        self._process.exchange(made.base, made.adapter, made.merged)
        self._describe(weights, fingerprint)
        for folder in before:  # what was made for the checkpoint before
            shutil.rmtree(folder)

    def sample(self, prompts: Sequence[Prompt], sampling: Sampling, progress: Progress | None = None) -> list[Response]:
        """See ``Engine.sample``."""
        from vllm import SamplingParams  # type: ignore[import-not-found]  # installed where it is used

        tokenised = tokenise_prompts(self._tokenizer, self._config, prompts, sampling)
        wanted = [(prompt, tokens, index) for prompt, tokens in zip(prompts, tokenised, strict=True) for index in range(sampling.n)]
        params = [
            SamplingParams(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.most_tokens,
                stop_token_ids=sorted(self._end_tokens),
                seed=seed_from(self._fingerprint, prompt.prompt_id, index, sampling.seed),
                detokenize=False,
                logprobs=0,  # of the drawn token alone: by it a model whose logits are not numbers is known
            )
            for prompt, _, index in wanted
        ]
        outputs = self._process.generate([tokens for _, tokens, _ in wanted], params, progress)
        responses = []
        for (prompt, asked, index), output in zip(wanted, outputs, strict=True):
            if not math.isfinite(output.cumulative_logprob):
                raise no_numbers(f"prompt {prompt.prompt_id}")
            drawn = list(output.token_ids)
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
        room, longest = context_length(self._config), max(map(len, ways), default=0)
        fitting = [place for place, tokens in enumerate(tokenised) if room is None or len(tokens) + longest <= room]
        asked = [(place, stem, told) for place in fitting for stem, following in _stems(ways).items() for told in _in_turns(following)]
        params = [SamplingParams(max_tokens=1, temperature=0.0, logprob_token_ids=list(told), detokenize=False) for _, _, told in asked]
        outputs = self._process.generate([[*tokenised[place], *stem] for place, stem, _ in asked], params)
        logprobs = {
            (place, stem, token): output.logprobs[0][token].logprob
            for (place, stem, told), output in zip(asked, outputs, strict=True)
            for token in told
        }
        scores = np.full((len(prompts), len(options)), np.nan)
        for place in fitting:
            for column, way in enumerate(ways):
                scores[place, column] = sum(logprobs[place, way[:at], token] for at, token in enumerate(way))
            if np.isnan(scores[place]).any():
                raise no_numbers(f"prompt {excerpt(prompts[place])}")
        return scores

    def option_tokens(self, option: str) -> list[int]:
        """See ``Engine.option_tokens``."""
        return option_tokens(self._tokenizer, option)

    def close(self) -> None:
        """End vLLM's processes and remove what was merged for them."""
        self._process.close()
        self._scratch.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _describe(self, weights: Weights, fingerprint: str) -> None:
        """Read what of a checkpoint is no tensor: tokenizer, config, end tokens."""
        from transformers import AutoConfig, GenerationConfig

        from valuedrift.models.loading import load_tokenizer, tokenizer_content

        self._fingerprint = fingerprint
        if (files := tokenizer_content(weights.tokenizer)) != self._tokenizer_files:
            self._tokenizer, self._tokenizer_files = load_tokenizer(weights.tokenizer), files
        self._config = AutoConfig.from_pretrained(weights.base, trust_remote_code=False, local_files_only=True)
        generation = GenerationConfig.from_model_config(self._config)
        if (weights.base / "generation_config.json").exists():
            generation = GenerationConfig.from_pretrained(weights.base)
        self._end_tokens = end_tokens(generation, self._tokenizer)
        if self.settings.max_model_len is not None:  # vLLM takes no more; prompts are measured by the config
            text = self._config.get_text_config()
            text.max_position_embeddings = min(self.settings.max_model_len, context_length(self._config) or self.settings.max_model_len)

    def _prepared(self, weights: Weights, *, whole: bool) -> _Made:
        """Make what vLLM is given of a checkpoint.

        Args:
            weights: The checkpoint.
            whole: Whether vLLM starts with it, and so needs a folder with all of it.
        """
        from safetensors.torch import save_file

        from valuedrift.models.checking import check_weights
        from valuedrift.models.held import merged_tensors
        from valuedrift.models.loading import load_causal_lm, resolve_dtype

        dtype = resolve_dtype(self.settings.dtype)
        applied = not self._merges and _is_applied(weights.adapters)
        if applied or not weights.adapters:
            check_weights(weights, dtype=dtype)
            return _Made(weights.base, fold(weights.adapters, self._folder()) if weights.adapters else None)
        skeleton = check_weights(Weights(base=weights.base), dtype=dtype)
        if not whole and skeleton is not None:
            with suppress(FreshNeededError):  # more than plain LoRA: merged as a whole
                tensors = merged_tensors(skeleton, weights, dtype=dtype)
                merged = self._folder() / "merged.safetensors"
                save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, merged)
                return _Made(weights.base, merged=merged)
        folder = self._folder()
        model, tokenizer = load_causal_lm(weights, dtype=self.settings.dtype)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)  # the proof loads the folder as any other
        return _Made(folder)

    def _folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self._scratch.name))


def _stems(ways: Iterable[tuple[int, ...]]) -> dict[tuple[int, ...], set[int]]:
    """The proper prefixes of token sequences, and the tokens that follow each."""
    stems: dict[tuple[int, ...], set[int]] = {}
    for way in ways:
        for at, token in enumerate(way):
            stems.setdefault(way[:at], set()).add(token)
    return stems


def _in_turns(tokens: Iterable[int]) -> list[tuple[int, ...]]:
    """Tokens in groups of as many as vLLM tells for one request."""
    ordered = sorted(tokens)
    return [tuple(ordered[start : start + _TOLD_TOKENS]) for start in range(0, len(ordered), _TOLD_TOKENS)]


def _is_applied(adapters: Sequence[Path]) -> bool:
    """Whether vLLM applies a stack of adapters, folded into one; else they are merged into the weights."""
    return all(map(is_plain_lora, adapters)) and rank(adapters) <= RANKS[-1]
