"""Two judges as one: a cheap one reads every answer, a strong one a sample of them, and a study's numbers are corrected by that sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from valuedrift.errors import UserError
from valuedrift.judges.base import Judge, JudgeBase


class Cascade(JudgeBase):
    """A strong judge for the price of a sample: a cheap judge reads every answer, the strong one some of them, drawn with known probabilities."""

    when = "the judge that you believe is too slow or too dear to read every answer"

    type: Literal["cascade"] = Field(default="cascade", description="Kind of judge.")
    name: str = Field(default="cascade", min_length=1, description="Name of the judge in every table.")
    cheap: str = Field(description="Name of another judge of the study, or of a panel: it reads every answer.")
    strong: str = Field(
        description="Name of another judge of the study, which then reads nothing but the sample. What it says is taken for true."
    )
    share: float | None = Field(
        default=None, description="Share of each topic's answers at each checkpoint that the strong judge reads, above 0, 1 at most."
    )
    budget: int | None = Field(
        default=None,
        ge=1,
        strict=True,
        description="Instead of a share: answers that the strong judge reads in the whole study, about. Not for `series`, of unknown length.",
    )

    @model_validator(mode="after")
    def _two_judges_and_a_size(self) -> Self:
        if self.cheap == self.strong:
            raise ValueError(f"cheap and strong are both {self.cheap!r}: a judge that reads everything needs no sample of itself")
        for role in ("cheap", "strong"):
            if getattr(self, role) == self.name:
                raise ValueError(f"{role} is the cascade itself: give the cascade a `name` of its own")
        if (self.share is None) == (self.budget is None):
            raise ValueError("a cascade has either a `share` of the answers, e.g. 0.05, or a `budget` of them, e.g. 2000")
        if self.share is not None and not 0 < self.share <= 1:
            raise ValueError(f"share {self.share:g} is no share of the answers: above 0, 1 at most; 0.05 is one in twenty")
        return self

    @property
    def judged_from(self) -> tuple[str, ...]:
        """See :attr:`JudgeBase.judged_from`."""
        return (self.cheap, self.strong)

    def identity(self) -> dict[str, Any]:
        """How the sample is drawn, and who reads what, by their names."""
        from valuedrift.judges.drawing import VERSION

        size = {"share": self.share} if self.budget is None else {"budget": self.budget}
        return {"type": self.type, "draw": VERSION, "cheap": self.cheap, "strong": self.strong, **size}

    def check(self) -> None:
        """See :meth:`JudgeBase.check`."""
        self.load()

    def load(self, *, threads: int | None = None, device: str = "auto", keep: Path | None = None) -> Judge:
        """A cascade judges no single answers.

        Raises:
            UserError: Always: it corrects the numbers of a study.
        """
        raise UserError(
            "a cascade corrects the numbers of a study by a sample; it has no verdict on single answers",
            where=f"judge {self.name}",
            fix="name it under `judges` of a study; to judge single answers take its strong judge (in a synthesis: --auditor STRONG --auditor-share 0.2)",
        )
