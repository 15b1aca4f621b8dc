"""What a training holds in memory, before it runs: for each process, and by what it is held for.

States follow from the number of weights. Activations are an upper bound, of texts all as long as ``max_length``: the tensors that Llama keeps for the
backward pass were counted at 135 million and at 8 billion weights (2 × 512 and 4 × 2,048 tokens); hidden sizes are taken from the number of weights.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

from valuedrift.errors import UserError
from valuedrift.study.runtime import Runtime
from valuedrift.training.options import resolve_precision
from valuedrift.training.registry import Algorithm
from valuedrift.words import size

_ACTIVATIONS = {"bfloat16": 48.0, "float32": 78.0}
"""Bytes a token and a hidden unit of a layer: the same of both models."""
_RECOMPUTED = 6.0
"""The same where each layer is computed again for its gradients: what goes into it, and one layer at a time."""
_LOGIT = 14.0
"""Bytes a token and a word of the vocabulary: logits, the same in float32, their softmax and their gradient."""
_COMPUTED = 2.0
"""Bytes a weight of the copy that is computed with, where float32 weights are multiplied in bfloat16."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that one process of a training holds."""

    weights: float
    gradients: float
    moments: float
    """AdamW's two."""
    other_models: float
    """Reference, reward model, value model."""
    activations: float
    """At most."""

    @property
    def states(self) -> float:
        """All but the activations: what no smaller micro_batch makes less."""
        return self.weights + self.gradients + self.moments + self.other_models

    def words(self) -> str:
        """All parts that are there."""
        named = zip(("weights", "gradients", "moments", "other models", "activations at most"), astuple(self), strict=True)
        return ", ".join(f"{name} {size(held)}" for name, held in named if held)


def memory(algorithm: Algorithm, parameters: float, runtime: Runtime) -> Memory:
    """What each process of a training holds.

    Args:
        algorithm: With its settings.
        parameters: Weights of the model.
        runtime: How many processes train it, and how much each does at once.
    """
    on_gpu = runtime.gpu_gigabytes is not None and algorithm.dtype == "auto"
    precision = "bfloat16" if on_gpu else resolve_precision(algorithm.dtype, runtime.device)
    processes = runtime.training_processes()
    share = 1.0 / processes if runtime.shard else 1.0
    full = algorithm.lora is None
    low = precision == "bfloat16"
    own = 4.0 if full or not low else 2.0
    trained = 16.0 if full else 4.0
    rows = max(algorithm.batch_size // processes, 1)
    tokens = float(min(runtime.micro_batch or rows, rows) * algorithm.answers * algorithm.max_length)
    units = (
        parameters / (12.0 * hidden_size(parameters)) if parameters else 0.0
    )  # hidden units of all layers: a layer has 12 weights a pair
    each = _RECOMPUTED if runtime.gradient_checkpointing else _ACTIVATIONS[precision]
    return Memory(
        weights=own * parameters * share,
        gradients=4.0 * parameters * share if full else 0.0,
        moments=8.0 * parameters * share if full else 0.0,
        other_models=(algorithm.weight_bytes() - trained) * parameters * share,
        activations=(each * units + _LOGIT * _words(parameters)) * tokens + (_COMPUTED * parameters if full and low else 0.0),
    )


def check_fits(name: str, algorithm: Algorithm, parameters: float | None, runtime: Runtime) -> None:
    """See that a training's states fit a GPU whose memory the study names.

    Args:
        name: The run's name.
        algorithm: With its settings.
        parameters: Weights of the model; None where the study does not say.
        runtime: With the GPU's memory, or none.

    Raises:
        UserError: They do not, however little is computed at once.
    """
    if parameters is None or runtime.gpu_gigabytes is None:
        return
    held = memory(algorithm, parameters, runtime)
    if held.states > runtime.gpu_gigabytes * 1e9:
        raise UserError(
            f"each process holds {size(held.states)} before it computes anything, and a GPU has {runtime.gpu_gigabytes:g} GB ({held.words()})",
            where=name,
            fix="runtime: {processes: N, shard: true} leaves each its share; or lora",
        )


def hidden_size(parameters: float) -> float:
    """Hidden units of a layer of a model of so many weights: SmolLM2-135M and Llama-3 8B lie on this curve."""
    return float(576.0 * (parameters / 1.35e8) ** 0.48)


def _words(parameters: float) -> float:
    """Words of a vocabulary: of SmolLM2, or of Llama 3 where a model is larger."""
    return 49_152.0 if parameters < 5e8 else 128_256.0
