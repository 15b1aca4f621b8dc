"""A checkpoint of a series that can be evaluated: its step, its name, its weights and their fingerprint once they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from valuedrift.weights import Weights


@dataclass(frozen=True, slots=True, eq=False)
class Sighted:
    """A whole checkpoint.

    Attributes:
        step: Optimizer step of its training.
        name: Where it lies, as a person wrote or would write it.
        state: Differs whenever its files do, told without reading them.
        weights: Brings its weights to this machine; raises UserError where they are gone.
        fingerprint: Content hash of the weights.
        adapter: Whether it is a LoRA adapter on a base.
    """

    step: int
    name: str
    state: str
    weights: Callable[[], Weights]
    fingerprint: Callable[[], str]
    adapter: Callable[[], bool]
