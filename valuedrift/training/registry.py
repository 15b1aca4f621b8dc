"""The algorithms by name: the one place that knows them all. A new one is a file beside this one, and an entry here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, Union

from pydantic import Field

from valuedrift.training.algorithm import AlgorithmBase
from valuedrift.training.dpo import DPO
from valuedrift.training.grpo import GRPO
from valuedrift.training.ipo import IPO
from valuedrift.training.kto import KTO
from valuedrift.training.orpo import ORPO
from valuedrift.training.ppo import PPO
from valuedrift.training.sft import SFT
from valuedrift.training.simpo import SimPO

ALGORITHMS: Mapping[str, type[AlgorithmBase]] = MappingProxyType(
    {algorithm.model_fields["type"].default: algorithm for algorithm in (SFT, DPO, IPO, SimPO, ORPO, KTO, PPO, GRPO)}
)
"""Algorithms by the ``type`` that a study names."""

if TYPE_CHECKING:
    Algorithm: TypeAlias = AlgorithmBase
else:
    Algorithm = Annotated[Union[tuple(ALGORITHMS.values())], Field(discriminator="type")]  # noqa: UP007 # made from a tuple


def types_of(section: Literal["sft", "preference"]) -> str:
    """The types that belong under a key of a study, for help and messages: ``dpo, simpo or ppo``."""
    names = [name for name, algorithm in ALGORITHMS.items() if algorithm.section() == section]
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
