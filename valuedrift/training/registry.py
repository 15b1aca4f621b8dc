"""Every algorithm: a file each, entered here by one line. Light to import, because the planner reads it.

An algorithm is a class made from :class:`valuedrift.training.algorithm.OfflineAlgorithm` or ``valuedrift.training.online.OnlineAlgorithm`` with a
``type`` of its own; see :mod:`valuedrift.registry` for algorithms of other packages.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from valuedrift.registry import Registry
from valuedrift.training.algorithm import AlgorithmBase

ALGORITHMS: Registry[AlgorithmBase] = Registry(
    "algorithm",
    AlgorithmBase,
    {
        "sft": "valuedrift.training.sft:SFT",
        "dpo": "valuedrift.training.dpo:DPO",
        "ipo": "valuedrift.training.ipo:IPO",
        "simpo": "valuedrift.training.simpo:SimPO",
        "orpo": "valuedrift.training.orpo:ORPO",
        "kto": "valuedrift.training.kto:KTO",
        "ppo": "valuedrift.training.ppo:PPO",
        "grpo": "valuedrift.training.grpo:GRPO",
    },
    group="valuedrift.algorithms",
    columns=("loss", "data", "when"),
)

Algorithm: TypeAlias = Annotated[AlgorithmBase, ALGORITHMS.by_type()]
"""Every algorithm with its settings."""


def types_of(section: Literal["sft", "preference"]) -> str:
    """The types that belong under a key of a study, for help: ``dpo, simpo or ppo``."""
    names = [name for name, algorithm in ALGORITHMS.packaged() if algorithm.section() == section]
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
