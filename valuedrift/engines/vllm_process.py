"""A running vLLM whose weights are exchanged, and the proof that they were.

Three faults were seen that give wrong answers without an error: a head tied to the embedding that keeps its old packed copy, blocks of the prefix cache that
were computed by the old weights, and an adapter served under the name of another. So after every exchange

- every layer is compared with the files, bit by bit, as it answers (:mod:`valuedrift.engines.vllm_worker`): what is stale in bfloat16 hides below rounding;
- a canary, a prompt longer than a block of the cache, is asked as all prompts are, and once more where no block of the cache may serve it. Both must agree at
  each of its positions, and in float32 with a plain forward pass of the weights.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from valuedrift.engines.base import EngineSettings, Progress
from valuedrift.engines.vllm_start import is_for_cpu, reserved, started, text_config
from valuedrift.errors import StageError
from valuedrift.models.held import FreshNeededError
from valuedrift.models.others import first_line
from valuedrift.weight_files import ADAPTER_CONFIG
from valuedrift.weights import Weights, folder_fingerprint

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REQUESTS = 4096
"""Requests given to vLLM at once; between them progress is told."""
_NOT_SHAPE = frozenset(
    {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache", "bos_token_id", "eos_token_id", "pad_token_id"}
)
"""Keys of a config that checkpoints of one architecture may differ in."""
_POSITIONS = 6
"""Positions at which the canary is compared."""
_TOLD = 15
"""Tokens whose log-probabilities are compared at each."""
_TOLERANCE = {"float32": 1e-3}
"""How far the canary may be from a plain forward pass, in nats; a stale head was 0.17 off. Other dtypes round too coarsely to tell."""
_SAME = 1e-2
"""How far the canary may be from itself."""


class _Canary(NamedTuple):
    """What vLLM made of the canary.

    Attributes:
        tokens: The prompt and what came after it, but for the last.
        logprobs: [positions, told tokens], natural logarithms, of what comes after the prompt.
    """

    tokens: list[int]
    logprobs: NDArray[np.float64]


class VllmProcess:
    """vLLM in processes of its own, with one model at a time.

    Args:
        settings: Dtype and runtime.

    Raises:
        UserError: The device is not what vLLM was built for.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._llm: Any = None
        self.on_cpu = is_for_cpu(settings.device)
        self._settings = settings
        self._adapter: Any = None
        self._adapters = 0
        """How many were given to vLLM: each has an id and a name of its own, or vLLM would serve the one that it knows by them."""

    def start(self, base: Path, adapter: Path | None, tokenizer: Path) -> None:
        """Start vLLM.

        Args:
            base: Folder with the weights.
            tokenizer: Folder of the tokenizer; vLLM is given token ids, but wants one.
            adapter: A plain LoRA adapter that is applied to them; what is applied later can have no greater rank.

        Raises:
            StageError: It does not start.
        """
        self._reserved = None if adapter is None else reserved(_rank_of(adapter))
        self._llm = started(base, tokenizer, self._settings, on_cpu=self.on_cpu, rank=self._reserved)
        self._call("drift_watch", os.getpid())
        self._shape = _shape(base)
        self._told = sorted({number * (text_config(base).vocab_size - 1) // (_TOLD - 1) for number in range(_TOLD)})
        self._content, self._base = folder_fingerprint(base), base
        self._apply(adapter)

    def exchange(self, base: Path, adapter: Path | None = None, merged: Path | None = None) -> None:
        """Go on to other weights, and prove it.

        Args:
            base: Folder with the weights.
            adapter: A plain LoRA adapter that is applied to them.
            merged: Safetensors file with tensors that stand in the place of the base's.

        Raises:
            FreshNeededError: The weights cannot be exchanged, or the proof failed; what runs is of no use any more.
        """
        try:
            self._exchange(base, adapter, merged)
        except FreshNeededError:
            raise
        except Exception as error:  # vLLM raises what it likes
            raise FreshNeededError(f"vLLM does not take the checkpoint: {first_line(error)}") from error

    def generate(self, prompts: Sequence[Sequence[int]], params: Sequence[Any], progress: Progress | None = None) -> list[Any]:
        """What vLLM generates after each prompt.

        Args:
            prompts: Token ids.
            params: vLLM's ``SamplingParams`` of each.
            progress: Told how many are done.

        Returns:
            vLLM's ``CompletionOutput`` of each.

        Raises:
            StageError: vLLM's process died.
        """
        outputs: list[Any] = []
        for at in range(0, len(prompts), _REQUESTS):
            batch = [{"prompt_token_ids": list(tokens)} for tokens in prompts[at : at + _REQUESTS]]
            outputs += self._asked(batch, list(params[at : at + _REQUESTS]))
            if progress is not None:
                progress(len(outputs), len(prompts))
        return outputs

    def close(self) -> None:
        """End vLLM's processes; harmless where there are none."""
        llm, self._llm = self._llm, None
        if llm is not None:
            llm.llm_engine.engine_core.shutdown()

    def _exchange(self, base: Path, adapter: Path | None, merged: Path | None) -> None:
        content = folder_fingerprint(base) if merged is None else f"{base} with {merged}"
        if content == self._content and adapter is None and self._adapter is None:
            return
        if adapter is not None and (self._reserved is None or _rank_of(adapter) > self._reserved):
            raise FreshNeededError(f"vLLM was started without room for an adapter of rank {_rank_of(adapter)}")
        if content != self._content:
            self._exchange_base(base, merged)
            self._content, self._base = content, base
        self._apply(adapter)
        self._prove(base, adapter, merged)

    def _exchange_base(self, base: Path, merged: Path | None) -> None:
        if self._reserved is not None:
            raise FreshNeededError("another base than the one that adapters are applied to")
        if self._settings.tensor_parallel > 1:
            raise FreshNeededError("weights that are spread over several GPUs cannot be compared with the files")
        shape = _shape(base)
        if different := sorted(key for key in {*shape, *self._shape} if shape.get(key) != self._shape.get(key)):
            raise FreshNeededError(f"another architecture: {', '.join(different)}")
        if differences := self._call("drift_exchange", str(base), None if merged is None else str(merged)):
            raise FreshNeededError(f"{len(differences)} tensors in vLLM are not what the files say: {', '.join(differences[:3])}")
        if not self._llm.reset_prefix_cache():
            raise FreshNeededError("vLLM does not empty its prefix cache")

    def _apply(self, adapter: Path | None) -> None:
        from vllm.lora.request import LoRARequest  # type: ignore[import-not-found]  # installed where it is used

        if adapter is None:
            self._adapter = None
            return
        self._adapters += 1
        self._adapter = LoRARequest(f"{folder_fingerprint(adapter)}-{self._adapters}", self._adapters, str(adapter))

    def _prove(self, base: Path, adapter: Path | None = None, merged: Path | None = None) -> None:
        as_all, alone = self._canaries()
        if as_all.tokens != alone.tokens or not np.allclose(as_all.logprobs, alone.logprobs, rtol=0, atol=_SAME):
            raise FreshNeededError("vLLM's prefix cache answers for other weights")
        if adapter is not None and (wrong := self._call("drift_adapter_differences", self._adapters, str(adapter))):
            raise FreshNeededError(f"vLLM applies another adapter: {wrong[0]}")
        tolerance = _TOLERANCE.get(self._settings.dtype)
        if tolerance is not None and not np.allclose(
            as_all.logprobs, _plain(base, adapter, merged, as_all, self._told), rtol=0, atol=tolerance
        ):
            raise FreshNeededError("vLLM's log-probabilities are not those of the weights")

    def _canaries(self) -> list[_Canary]:
        """The canary, a prompt longer than a block of the cache: asked as all prompts are, and with a salt, so that no block of the cache serves it.

        In one batch the two may be rounded differently, which half precision lets look like answers of other weights: there they are asked one by one.
        """
        from vllm import SamplingParams  # type: ignore[import-not-found]  # installed where it is used

        config = self._llm.llm_engine.vllm_config
        length = min(config.cache_config.block_size + _TOLD, config.model_config.max_model_len - _POSITIONS)
        prompt = [self._told[at * at % len(self._told)] for at in range(length)]
        params = SamplingParams(max_tokens=_POSITIONS, ignore_eos=True, temperature=0.0, logprob_token_ids=self._told, detokenize=False)
        asked: list[dict[str, Any]] = [{"prompt_token_ids": prompt}, {"prompt_token_ids": prompt, "cache_salt": os.urandom(8).hex()}]
        batches = [asked] if self._settings.dtype == "float32" else [[one] for one in asked]
        answers = [output for batch in batches for output in self._asked(batch, [params] * len(batch))]
        return [
            _Canary(
                [*prompt, *output.token_ids[:-1]],
                np.array([[position[token].logprob for token in self._told] for position in output.logprobs]),
            )
            for output in answers
        ]

    def _asked(self, batch: list[dict[str, Any]], params: list[Any]) -> list[Any]:
        try:
            return [output.outputs[0] for output in self._llm.generate(batch, params, use_tqdm=False, lora_request=self._adapter)]
        except Exception as error:
            if type(error).__name__ != "EngineDeadError":
                raise
            raise StageError("vLLM's process died; its last words stand in the log", where=str(self._base)) from error

    def _call(self, method: str, *arguments: Any) -> list[str]:
        """Call a method of the worker's extension in every worker; what they return, together."""
        return [one for answer in self._llm.collective_rpc(method, args=arguments) if answer for one in answer]


def _plain(base: Path, adapter: Path | None, merged: Path | None, canary: _Canary, told: Sequence[int]) -> NDArray[np.float64]:
    """The canary's log-probabilities by one plain forward pass under transformers."""
    import torch
    from safetensors.torch import load_file

    from valuedrift.models.loading import load_causal_lm, read_model

    if adapter is None:
        model = read_model(base, dtype=torch.float32).eval()  # it was checked
    else:
        model, _ = load_causal_lm(Weights(base=base, adapters=(adapter,)), dtype="float32")
    if merged is not None and (unknown := model.load_state_dict(load_file(merged), strict=False).unexpected_keys):
        raise FreshNeededError(f"the files name their tensors otherwise than the model: {', '.join(unknown[:3])}")
    with torch.inference_mode():
        logits = model(torch.tensor([canary.tokens])).logits[0, -len(canary.logprobs) :].double()
    plain: NDArray[np.float64] = logits.log_softmax(-1)[:, list(told)].numpy()
    return plain


def _shape(folder: Path) -> dict[str, Any]:
    """What a model's config says of its architecture."""
    from transformers import AutoConfig

    whole = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True).to_dict()
    return {key: value for key, value in whole.items() if key not in _NOT_SHAPE}


def _rank_of(adapter: Path) -> int:
    rank: int = json.loads((adapter / ADAPTER_CONFIG).read_text(encoding="utf-8"))["r"]
    return rank
