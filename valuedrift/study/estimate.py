"""What a run will cost, before it runs: tokens, time and bytes. Rough by intent; says so with round numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from valuedrift.study.memory import hidden_size
from valuedrift.study.plan import RunPlan
from valuedrift.study.runtime import Keep
from valuedrift.study.spec import Study
from valuedrift.words import size

_CPU_TRAINING = 6.4e10
"""FLOP/s of one CPU core in float32 training (measured: SmolLM2-135M, 8 × 128 tokens, 6.5 s a step on two cores)."""
_CPU_SAMPLING = 2.7e10
"""FLOP/s of one CPU core in batched sampling (measured: 200 tokens/s on two cores)."""
_GPU_TRAINING = 3.0e14
"""FLOP/s of one H200 in bf16 training at 40% of its measured 790 TFLOP/s."""
_GPU_SAMPLING = 1.0e14
"""FLOP/s of one H200 in batched sampling by vLLM."""
_BYTES_A_RESPONSE_TOKEN = 2.0
_BYTES_A_STANCE = 11.0
"""Of the stances table, zstd (measured: 1.3 million rows, 14 MB)."""
_CORES = 2


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens, FLOPs and bytes of one run, or of several."""

    training_tokens: float = 0.0
    sampling_tokens: float = 0.0
    training_flops: float = 0.0
    sampling_flops: float = 0.0
    memory_bytes: float = 0.0
    """Of weights, gradients and moments in training, without activations; of several runs that of the largest."""
    checkpoint_bytes: float = 0.0
    table_bytes: float = 0.0

    @classmethod
    def total(cls, parts: Iterable[Estimate]) -> Estimate:
        """The sum of several, one run after the other."""
        listed = list(parts)
        sums = {name: sum(getattr(part, name) for part in listed) for name in cls.__slots__}
        return cls(**(sums | {"memory_bytes": max((part.memory_bytes for part in listed), default=0.0)}))

    @property
    def suits_cpu(self) -> bool:
        """Whether two CPU cores do it within a day."""
        return self._cpu_seconds < 24 * 3600

    @property
    def _cpu_seconds(self) -> float:
        return (self.training_flops / _CPU_TRAINING + self.sampling_flops / _CPU_SAMPLING) / _CORES

    def words_time(self) -> str:
        """Time on two CPU cores, or GPU-hours where that would be more than a day."""
        if not self.training_flops and not self.sampling_flops:
            return "time unknown (declare models.NAME.parameters)"
        if self.suits_cpu:
            return f"{_duration(self._cpu_seconds)} on {_CORES} CPU cores"
        hours = (self.training_flops / _GPU_TRAINING + self.sampling_flops / _GPU_SAMPLING) / 3600
        return f"{float(f'{hours:.2g}'):,.10g} GPU-hours (one H200)"

    def words_disk(self, keep: Keep, peak: float) -> str:
        """All bytes on disk, or the most at a time where checkpoints are deleted.

        Args:
            keep: Which checkpoints stay.
            peak: The most bytes that weights take at a time.
        """
        if keep == "all":
            return f"{size(self.checkpoint_bytes + self.table_bytes)} on disk, of it checkpoints {self.words_checkpoints()}"
        return (
            f"at most {size(peak + self.table_bytes)} on disk at a time, of it checkpoints and states {size(peak)} "
            f"(keep: {keep}; {self.words_checkpoints()} are written in all)"
        )

    def words_memory(self) -> str:
        """Bytes of memory in training."""
        return size(self.memory_bytes)

    def words_checkpoints(self) -> str:
        """Bytes of the checkpoints."""
        return size(self.checkpoint_bytes)


def estimate(run: RunPlan, study: Study, n_probes: int) -> Estimate:
    """Estimate one run.

    Args:
        run: The run; nothing is estimated of training while its steps are unknown.
        study: Its study.
        n_probes: Questions asked at every checkpoint.

    Returns:
        Upper bounds where lengths are not known (every text as long as max_length allows).
    """
    parameters = run.model.known_parameters or 0.0
    answers = len(run.steps) * n_probes * study.sampling.n
    sampled = float(answers * study.sampling.most_tokens)
    steps = run.total_steps or 0
    training = run.algorithm.cost(steps, run.rows)
    saved = max(len(run.steps) - 1, 0)
    return Estimate(
        training_tokens=training.tokens,
        sampling_tokens=sampled,
        training_flops=training.flops * parameters,
        memory_bytes=run.algorithm.weight_bytes() * parameters,
        sampling_flops=2.0 * parameters * sampled,
        checkpoint_bytes=saved * bytes_of_checkpoint(run),
        table_bytes=sampled * _BYTES_A_RESPONSE_TOKEN + answers * len(study.judges) * _BYTES_A_STANCE,
    )


def bytes_of_checkpoint(run: RunPlan) -> float:
    """Bytes of one checkpoint of a run: of the whole model in float32, or of the adapter."""
    parameters, lora = run.model.known_parameters or 0.0, run.algorithm.lora
    if lora is None:
        return 4.0 * parameters
    return 4.0 * lora.r * 1.3 * parameters / hidden_size(parameters) if parameters else 0.0


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
