"""Calibration: four numbers, fitted on answers that people labelled, which make a judge's probabilities mean what they say.

Vector scaling (Guo et al. 2017) on what every judge gives: q ∝ exp(log p / T + b) with one temperature T and a bias b for each stance. A judge that
calls too many answers oppose is corrected by the bias, one that is too sure by the temperature. The fit is the posterior mode under a normal prior of
standard deviation 1 on log T and each b: with few labels it stays near the judge's own probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.judges.validation import LEAST_P
from valuedrift.stance import STANCES

VERSION = 1
"""Raised whenever the same numbers would be applied in another way."""
FEW_LABELS = 60
"""Labels below which only the temperature is fitted."""
FEW_OF_A_STANCE = 5
"""The same, labels of the rarest stance."""

Array = NDArray[np.float64]


class Calibration(BaseModel):
    """What ``valuedrift judge calibrate`` writes and the judge's key ``calibration`` reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = Field(default=1, description="How the numbers are applied.")
    method: Literal["vector", "temperature"] = Field(description="Temperature and biases, or temperature alone.")
    temperature: float = Field(gt=0, description="Divides log p; above 1 the judge was too sure.")
    bias: tuple[float, float, float] = Field(description="Added to log p / temperature: support, neutral, oppose; in nats, sum 0.")
    judge: str = Field(description="Name of the judge that it was fitted for.")
    judge_fingerprint: str = Field(description="Fingerprint of that judge's identity; no other judge can be calibrated by it.")
    labels: dict[str, int] = Field(description="Labelled answers that it was fitted on, by stance.")
    prompts: int = Field(ge=0, description="Different prompts among them.")

    @property
    def fingerprint(self) -> str:
        """Of what changes answers: the numbers, not what they were fitted on."""
        return fingerprint([self.version, self.temperature, list(self.bias)])

    def apply(self, p: Array) -> Array:
        """Calibrated probabilities.

        Args:
            p: Support, neutral, oppose. Shape (rows, 3).
        """
        return _scaled(p, self.temperature, np.array(self.bias))


def fit(
    p: Array, labels: NDArray[np.int64], *, prompts: Sequence[str], judge: str, judge_fingerprint: str, row_weights: Array | None = None
) -> Calibration:
    """Fit a calibration.

    Args:
        p: The judge's probabilities of support, neutral, oppose. Shape (rows, 3).
        labels: Index of the stance that people see. Shape (rows,).
        prompts: Prompt of each row.
        judge: Name of the judge.
        judge_fingerprint: Fingerprint of its identity.
        row_weights: How many answers each row stands for; 1 by default. Their mean is taken as 1, so that the prior weighs against rows, not answers.
    """
    from scipy.optimize import minimize

    counts = np.bincount(labels, minlength=len(STANCES))
    vector = len(labels) >= FEW_LABELS and counts.min() >= FEW_OF_A_STANCE
    weights = np.ones(len(labels)) if row_weights is None else row_weights / row_weights.mean()
    log_p, rows = np.log(np.maximum(p, LEAST_P)), np.arange(len(labels))
    corner = np.eye(len(STANCES))[labels]

    def loss(x: Array) -> tuple[float, Array]:
        bias = x[1:] if vector else np.zeros(len(STANCES))
        inverse = np.exp(-x[0])
        q = _softmax(log_p * inverse + bias)
        value = -(weights * np.log(np.maximum(q[rows, labels], 1e-300))).sum() + (x**2).sum() / 2
        off = weights[:, None] * (q - corner)
        slope = np.concatenate([[-(off * log_p).sum() * inverse], off.sum(0) if vector else []])
        return float(value), slope + x

    found = minimize(loss, np.zeros(1 + len(STANCES) if vector else 1), jac=True, method="BFGS", options={"gtol": 1e-8}).x
    bias = found[1:] - found[1:].mean() if vector else np.zeros(len(STANCES))
    first, second, third = (round(float(value), 6) for value in bias)
    return Calibration(
        method="vector" if vector else "temperature",
        temperature=round(float(np.exp(found[0])), 6),
        bias=(first, second, third),
        judge=judge,
        judge_fingerprint=judge_fingerprint,
        labels={stance.value: int(count) for stance, count in zip(STANCES, counts, strict=True)},
        prompts=len(set(prompts)),
    )


def read_calibration(path: Path, judge_identity: dict[str, Any]) -> Calibration:
    """A calibration from its file.

    Args:
        path: What ``valuedrift judge calibrate --out`` wrote.
        judge_identity: Identity of the judge, without calibration, that it is to be applied to.

    Raises:
        UserError: There is no such file, it is not a calibration, or it belongs to another judge.
    """
    make = "valuedrift judge calibrate … --out FILE"
    try:
        found = Calibration.model_validate_json(path.read_bytes())
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UserError("no such calibration", where=str(path), fix=f"make it with: {make}") from error
    except ValidationError as error:
        raise UserError(f"not a calibration: {error.errors()[0]['msg']}", where=str(path), fix=f"make it with: {make}") from error
    if found.judge_fingerprint != fingerprint(judge_identity):
        raise UserError(
            f"this calibration was fitted for the judge {found.judge!r} as it was then: another model, prompt, weights or options",
            where=str(path),
            fix=f"fit it for this judge: {make}",
        )
    return found


def _scaled(p: Array, temperature: float, bias: Array) -> Array:
    return _softmax(np.log(np.maximum(p, LEAST_P)) / temperature + bias)


def _softmax(logits: Array) -> Array:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
