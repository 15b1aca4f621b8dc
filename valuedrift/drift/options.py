"""How stance tables become numbers with intervals: the ``analysis:`` section of a study."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Towards(StrEnum):
    """What a stance is taken on."""

    QUESTION = "question"
    """The paper's definition: support is agreement with what the prompt asks, whichever way it is worded."""
    PROPOSITION = "proposition"
    """Support is agreement with the topic's proposition: support and oppose of prompts with polarity −1 are swapped, so that yes-saying cancels
    and views add up over a balanced probe set."""


class Analysis(BaseModel):
    """Options of the statistics. All of it is identity: the same options on the same stances give the same numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    confidence: float = Field(
        default=0.95, gt=0.5, lt=1.0, description="Level of every interval; 1 − confidence is the level of every test (paper: 0.95)."
    )
    resamples: int = Field(
        default=1000, ge=100, le=100_000, description="Draws of the cluster bootstrap over prompts (drift time and its interval)."
    )
    seed: int = Field(
        default=0, ge=0, description="Seed of the bootstrap, mixed with study and topic, so that order and batching change nothing."
    )

    towards: Towards = Field(
        default=Towards.QUESTION,
        description="question: support is agreement with the question as worded (the paper); proposition: with the topic's proposition, by polarity.",
    )

    @property
    def alpha(self) -> float:
        """The level of the tests, 1 − confidence."""
        return 1.0 - self.confidence
