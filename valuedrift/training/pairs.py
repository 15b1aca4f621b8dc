"""What the preference trainers share: log-probabilities of chosen and rejected answers, and the numbers that are kept of a step."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

from torch import Tensor

from valuedrift.training.encode import Encoder, Tokens
from valuedrift.training.job import TrainJob
from valuedrift.training.logps import token_logps
from valuedrift.training.rows import Preference


def encode_pairs(job: TrainJob, tokenizer: Any, rows: Sequence[Preference]) -> Tokens:
    """Preferences as tokens.

    Raises:
        DataError: Too many prompts fill max_length.
    """
    encoder = Encoder(tokenizer, job.algorithm.max_length)
    encoded = encoder.preferences(rows, job.dataset)
    return Tokens(encoded, encoder.dropped, encoder.cut)


def pair_logps(model: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Log π(y|x) of the answers of a batch as TRL's ``DataCollatorForPreference`` lays it out: the chosen rows, then the rejected ones.

    Returns:
        Sums over the answers' tokens and the numbers of tokens, both of shape (2 · pairs,).
    """
    logps, counted = token_logps(model, inputs["input_ids"], inputs["attention_mask"], inputs["completion_mask"].bool())
    return logps.sum(dim=1), counted.sum(dim=1)


def keep_rewards(metrics: MutableMapping[str, list[float]], chosen: Tensor, rejected: Tensor) -> None:
    """Keep the implicit rewards of a step under TRL's names."""
    metrics["rewards/chosen"].append(chosen.detach().mean().item())
    metrics["rewards/rejected"].append(rejected.detach().mean().item())
    metrics["rewards/margins"].append((chosen - rejected).detach().mean().item())
