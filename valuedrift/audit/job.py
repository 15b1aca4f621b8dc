"""Auditing as a job for a supervised child process: a dataset's rows in, judged examples out as Parquet."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from valuedrift.audit.options import AuditOptions
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.registry import JudgeConfig
from valuedrift.progress import Progress


class AuditResult(BaseModel):
    """What a finished audit says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    examples: int = Field(ge=0, description="Examples judged.")


class AuditJob(BaseModel):
    """Judge the answers of a dataset, and say which of its prompts speak to a value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["audit"] = Field(default="audit", description="Kind of job.")
    dataset: Path = Field(description="Rows in normal form, JSONL (``valuedrift.corpora.normal.Row``).")
    options: AuditOptions = Field(default=AuditOptions(), description="Which rows are judged.")
    judge: JudgeConfig = Field(default=CrossEncoder(), description="Who judges.")
    out: Path = Field(description="Parquet to write, see ``valuedrift.audit.examples.judged_frame``.")
    threads: int | None = Field(default=None, ge=1, description="CPU threads; None leaves torch's setting. Runtime.")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where models run. Runtime.")

    @property
    def leaves_room(self) -> bool:
        """Whether the process may keep the engine of an earlier job beside it."""
        return self.judge.light

    def run(self, progress: Callable[[Progress], None]) -> AuditResult:
        """Judge, and write the output whole or not at all.

        Args:
            progress: Told how many answers are judged.

        Raises:
            UserError: The judge is at fault.
        """
        from valuedrift.audit.examples import examples_of, judged_frame, pairs_frame
        from valuedrift.audit.relevance import relevance
        from valuedrift.corpora.normal import sample
        from valuedrift.judges.base import Pair
        from valuedrift.judges.frames import judgements_frame, write_whole

        rows = [json.loads(line) for line in self.dataset.read_text(encoding="utf-8").splitlines()]
        examples = examples_of(sample(rows, self.options.rows))
        progress(Progress(0, 1, "reading prompts"))
        laden, topics = relevance(examples, threads=self.threads)
        texts = pairs_frame(examples)
        pairs = [Pair(id=str(row), prompt=prompt, response=response) for row, (prompt, response) in enumerate(texts.iter_rows())]
        progress(Progress(0, len(pairs), f"loading {self.judge.name}"))
        judgements = self.judge.load(threads=self.threads, device=self.device).judge(pairs, progress)
        write_whole(judged_frame(examples, judgements_frame(judgements), laden, topics), self.out)
        return AuditResult(examples=len(examples))
