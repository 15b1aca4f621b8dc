"""Which judge a study asks for: a tagged union, light to import, because the planner reads it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from valuedrift.judges.causal_lm_config import CausalLM
from valuedrift.judges.cross_encoder_config import CrossEncoder
from valuedrift.judges.openai_config import OpenAI
from valuedrift.judges.panel_config import Panel

__all__ = ["JUDGE", "JUDGE_TYPES", "CausalLM", "CrossEncoder", "JudgeConfig", "OpenAI", "Panel", "judge_identity"]

JudgeConfig = Annotated[CrossEncoder | CausalLM | OpenAI | Panel, Field(discriminator="type")]
"""Every kind of judge."""

JUDGE: TypeAdapter[CrossEncoder | CausalLM | OpenAI | Panel] = TypeAdapter(JudgeConfig)

JUDGE_TYPES: tuple[str, ...] = tuple(kind.model_fields["type"].default for kind in (CrossEncoder, CausalLM, OpenAI, Panel))
"""What ``type`` may be."""


def judge_identity(config: JudgeConfig) -> dict[str, Any]:
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
