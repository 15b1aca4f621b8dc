"""Every kind of judge: a file each, entered here by one line. Light to import, because the planner reads it.

A kind is a class made from :class:`valuedrift.judges.calibrated.ReadingJudge` with a ``type`` and a ``name`` of its own; see :mod:`valuedrift.registry` for
judges of other packages.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import TypeAdapter

from valuedrift.judges.base import JudgeBase
from valuedrift.judges.calibrated import ReadingJudge
from valuedrift.registry import Registry

JUDGES: Registry[JudgeBase] = Registry(
    "judge",
    JudgeBase,
    {
        "cross-encoder": "valuedrift.judges.cross_encoder:CrossEncoder",
        "embedded-lm": "valuedrift.judges.embedded_lm:EmbeddedLM",
        "causal-lm": "valuedrift.judges.causal_lm:CausalLM",
        "openai": "valuedrift.judges.openai:OpenAI",
        "panel": "valuedrift.judges.panel:Panel",
        "cascade": "valuedrift.judges.cascade:Cascade",
    },
    group="valuedrift.judges",
)

JudgeConfig: TypeAlias = Annotated[JudgeBase, JUDGES.by_type()]
"""Every kind of judge."""

SingleJudge: TypeAlias = Annotated[ReadingJudge, JUDGES.by_type(ReadingJudge)]
"""Every judge that reads answers itself: what a panel may be made of."""

JUDGE: TypeAdapter[JudgeBase] = TypeAdapter(JudgeConfig)


def judge_identity(config: JudgeBase) -> dict[str, Any]:
    """What enters a cache key for a judge: content hashes and versions, never its name, paths, device or batch size.

    Cheap (hashes weights, once a process) and imports no torch.

    Args:
        config: The judge.

    Returns:
        JSON-able values.

    Raises:
        UserError: Its weights are missing.
    """
    return config.identity()
