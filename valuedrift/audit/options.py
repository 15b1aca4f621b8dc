"""How a dataset is audited: the ``audit:`` section of a study, and the options of ``valuedrift audit``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class AuditOptions(BaseModel):
    """Which rows are judged, and how sure the intervals are. All of it is identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int | None = Field(
        default=1000,
        gt=0,
        description="Rows judged at most: those with the smallest content hashes, the same on every machine; null judges all.",
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0, description="Level of the intervals.")
    value_laden: float = Field(default=0.5, gt=0.0, lt=1.0, description="Probability from which on a prompt counts as speaking to a value.")
