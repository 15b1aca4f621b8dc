"""Judging as a job for a supervised child process: Parquet in, Parquet out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from valuedrift.fingerprint import fingerprint
from valuedrift.judges.base import Judge
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.registry import JudgeConfig
from valuedrift.progress import Progress


class JudgeResult(BaseModel):
    """What a finished judging says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int = Field(ge=0, description="Rows written, one for every response.")
    seconds: float = Field(ge=0, description="Wall time, loading included, s.")
    remarks: tuple[str, ...] = Field(default=(), description="What the judge says about how it came to its judgements.")


class JudgeJob(BaseModel):
    """Judge every response of a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["judge"] = Field(default="judge", description="Kind of job.")
    judge: JudgeConfig = Field(default=CrossEncoder(), description="Who judges.")
    responses: Path = Field(description="Parquet with the columns prompt and response; others are ignored.")
    out: Path = Field(
        description="Parquet to write: p_support, p_neutral, p_oppose, unassigned, status; one row an input row, in its order."
    )
    threads: int | None = Field(default=None, ge=1, description="CPU threads; None leaves torch's setting. Runtime, not identity.")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where the judge runs. Runtime, not identity.")
    keep: Path | None = Field(default=None, description="Folder for a server's replies; None: the user's cache folder. Runtime.")

    @property
    def leaves_room(self) -> bool:
        """Whether the process may keep the engine of an earlier job beside it."""
        return self.judge.light

    def run(self, progress: Callable[[Progress], None]) -> JudgeResult:
        """Judge, and write the output whole or not at all.

        Args:
            progress: Called with how many responses are judged.

        Raises:
            UserError: The judge's weights are missing.
            DataError: The responses are not readable or lack a column.
        """
        from valuedrift.judges.base import remarks_of
        from valuedrift.judges.frames import judgements_frame, read_pairs, write_whole

        begun = time.monotonic()
        pairs = read_pairs(self.responses)
        progress(Progress(0, len(pairs), f"loading {self.judge.name}"))
        judge = self._judge()
        judgements = judge.judge(pairs, progress)
        write_whole(judgements_frame(judgements), self.out)
        return JudgeResult(rows=len(pairs), seconds=time.monotonic() - begun, remarks=tuple(remarks_of(judge)))

    def _judge(self) -> Judge:
        """The judge with what it needs in memory: the one of the last job, where this would be another just like it."""
        from valuedrift.judges.base import Remarking
        from valuedrift.judges.registry import judge_identity

        alike = fingerprint([self.judge.model_dump(mode="json"), judge_identity(self.judge), self.threads, self.device, str(self.keep)])
        if alike not in _kept:
            _kept.clear()
            judge = self.judge.load(threads=self.threads, device=self.device, keep=self.keep)
            if not self.judge.light or isinstance(judge, Remarking):  # one that remarks on what it did, a server's say, does so for one job
                return judge
            _kept[alike] = judge
        return _kept[alike]


_kept: dict[str, Judge] = {}
"""The light judge that this process loaded last, by what it is and how it runs; one at most."""
