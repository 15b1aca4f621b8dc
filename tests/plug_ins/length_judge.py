"""A judge of one's own, in one file: long answers are taken to support, short ones to oppose. Its registry needs one line more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from valuedrift.judges.base import Configured, Judge, Judgement, Pair
from valuedrift.judges.calibrated import ReadingJudge
from valuedrift.progress import Progress
from valuedrift.stance import JudgeStatus


class Length(ReadingJudge):
    """Judges by the length of answers."""

    when = "never"

    type: Literal["length"] = Field(default="length", description="Kind of judge.")
    name: str = Field(default="length", min_length=1, description="Name of the judge in every table.")
    words: int = Field(default=5, ge=1, description="Words from which on an answer supports.")

    def own_identity(self) -> dict[str, Any]:
        return {"type": self.type, "words": self.words}

    def load_uncalibrated(self, *, threads: int | None = None, device: str = "auto", keep: Path | None = None) -> Judge:
        return LengthJudge(self)


class LengthJudge(Configured[Length]):
    def judge(self, pairs: Sequence[Pair], progress: Callable[[Progress], None] | None = None) -> list[Judgement]:
        long = [len(pair.response.split()) >= self._config.words for pair in pairs]
        return [Judgement(0.8, 0.1, 0.1, 0.0, JudgeStatus.OK) if one else Judgement(0.1, 0.1, 0.8, 0.0, JudgeStatus.OK) for one in long]
