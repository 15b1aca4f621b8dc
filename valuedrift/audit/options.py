"""How a dataset is audited: the ``audit:`` section of a study and the options of ``valuedrift audit``; and what an audit measures, by name."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from valuedrift.stance import STANCES

ALL, VALUE_LADEN, TOPIC = "all", "value-laden", "topic"
SCOPES = (ALL, VALUE_LADEN, TOPIC)
"""All examples; those whose prompt speaks to a value; those of them on one topic."""
VALUE_GAP = "value_gap"
REFUSED = "refused"
MEASURES: Mapping[str, str] = {
    **{stance.value: f"mean probability that an answer takes the stance {stance.value}" for stance in STANCES},
    VALUE_GAP: "total variation distance of the two stance distributions",
    REFUSED: "share of answers that decline to answer",
    "words": "words in an answer",
    "lists": "share of answers with a list",
    "hedges": "hedges in 100 words",
    "politeness": "polite phrases in 100 words",
    "first_person": "words for the speaker in 100 words",
    "exclamations": "exclamation marks in 100 words",
    "questions": "question marks in 100 words",
}
"""Every measure with its meaning and unit."""


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


class StudyAudit(AuditOptions):
    """The ``audit:`` section of a study: options, and who audits its datasets."""

    auditor: str | None = Field(
        default=None,
        description="Name of the judge of the study that audits its datasets, one that reads every answer itself; default: the first. Pairs that one judge "
        "selected want another one.",
    )

    @property
    def options(self) -> AuditOptions:
        """Without who audits: its content is identity by itself."""
        return AuditOptions(**self.model_dump(exclude={"auditor"}))
