"""What decides which pairs are made: setting, gap, acceptance, seed, writer and judge; and who audits them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from valuedrift.engines.registry import EngineConfig
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.registry import JudgeConfig
from valuedrift.stance import Stance

STARTER_WRITER = "starter"
"""In place of a model: the answers of the packaged stance set, written by hand for its own questions."""

Contrast = tuple[Stance, Stance]
"""Stance of the chosen and of the rejected answer."""


class Setting(StrEnum):
    """Which stance the chosen answers take (paper, Protocol: synthetic preferences; neutral-aligned goes beyond it)."""

    SUPPORT_ALIGNED = "support-aligned"
    OPPOSE_ALIGNED = "oppose-aligned"
    NEUTRAL_ALIGNED = "neutral-aligned"


CONTRASTS: Mapping[Setting, tuple[Contrast, ...]] = MappingProxyType(
    {
        Setting.SUPPORT_ALIGNED: ((Stance.SUPPORT, Stance.OPPOSE),),
        Setting.OPPOSE_ALIGNED: ((Stance.OPPOSE, Stance.SUPPORT),),
        Setting.NEUTRAL_ALIGNED: ((Stance.NEUTRAL, Stance.SUPPORT), (Stance.NEUTRAL, Stance.OPPOSE)),
    }
)
"""Stances of the aligned pairs of a setting; where there are two kinds, half of the pairs are of each."""


def stances_of(setting: Setting) -> tuple[Stance, ...]:
    """The stances that a setting needs answers in, in the order of :class:`Stance`."""
    needed = {stance for contrast in CONTRASTS[setting] for stance in contrast}
    return tuple(stance for stance in Stance if stance in needed)


class Dial(BaseModel):
    """What is asked of the pairs. All of it is identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    setting: Setting = Field(description="Which stance the chosen answers take.")
    gap: float = Field(ge=0.0, le=1.0, description="Value gap that the judge which selects shall find, total variation distance.")
    pairs: int | None = Field(default=None, ge=1, description="Pairs to make; None: as many as the gap allows, at most one a prompt.")
    accept: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="An answer is kept when the asked stance is its most probable one and at least this probable.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of which prompts, answers and orientations are taken.")


class Synthesis(BaseModel):
    """One making of preference pairs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="Name of the synthesis in the tables.")
    dial: Dial = Field(description="What is asked of the pairs.")
    candidates: int = Field(default=4, ge=1, le=64, description="Answers that the writer is asked for, a prompt and stance.")
    writer: EngineConfig | None = Field(default=None, description="Model that writes; None: the packaged answers (`starter`).")
    judge: JudgeConfig = Field(default=CrossEncoder(), description="Who judges whether an answer takes the stance it was asked for.")
    auditor: JudgeConfig | None = Field(
        default=None,
        description="Another judge that reads the answers of the pairs and says what value gap it finds; it selects nothing. None: only the judge that "
        "selected says something, which is told to be no evidence.",
    )

    auditor_share: float | None = Field(
        default=None,
        gt=0.0,
        le=1.0,
        description="Share of each topic's pairs that the auditor reads; what the selector says of all of them is then corrected by it, as in a cascade. "
        "None: all.",
    )

    @property
    def writer_name(self) -> str:
        """Name of the writer in tables and rows: kind and model; of a folder only its last part."""
        if self.writer is None:
            return STARTER_WRITER
        model = self.writer.model
        shown = model if ":" in model else model.rstrip("/").rpartition("/")[2]
        return f"{self.writer.type} {shown}"

    def writer_identity(self) -> dict[str, Any]:
        """What changes the candidates, the questions apart.

        Raises:
            UserError: The writer's model is missing.
        """
        from valuedrift.synthesis.writing import PROMPT_VERSION, writing

        if self.writer is None:
            return {"writer": STARTER_WRITER}
        return {
            "writer": self.writer.identity(),
            "prompts": PROMPT_VERSION,
            "candidates": self.candidates,
            "sampling": writing(self.dial.seed).model_dump(mode="json"),
        }
