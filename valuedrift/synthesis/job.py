"""Writing as a job for a supervised child process: questions in, answers in one stance out as Parquet."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from valuedrift.engines.registry import EngineConfig
from valuedrift.progress import Progress
from valuedrift.stance import Stance


class WriteResult(BaseModel):
    """What a finished writing says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int = Field(ge=0, description="Answers written.")


class WriteJob(BaseModel):
    """Have a model answer questions in one stance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["write"] = Field(default="write", description="Kind of job.")
    writer: EngineConfig = Field(description="The model.")
    questions: Path = Field(description="JSON list of {prompt_id, topic, prompt}.")
    stance: Stance = Field(description="How they are to be answered.")
    candidates: int = Field(ge=1, description="Answers a question.")
    seed: int = Field(ge=0, description="Seed of wordings and draws.")
    out: Path = Field(description="Parquet to write: prompt_id, stance, candidate_idx, response.")
    threads: int | None = Field(default=None, ge=1, description="CPU threads. Runtime.")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where the model runs. Runtime.")
    cache_tokens: int = Field(default=65_536, ge=256, description="Tokens that the key-value cache may hold. Runtime.")
    keep: Path | None = Field(default=None, description="Folder for a server's replies; None: the user's cache folder. Runtime.")

    def run(self, progress: Callable[[Progress], None]) -> WriteResult:
        """Write, and keep the answers whole or not at all.

        Args:
            progress: Told how many answers are written.

        Raises:
            UserError: The model is missing, or its server refuses.
        """
        from valuedrift.judges.frames import write_whole
        from valuedrift.synthesis.candidates import written_frame
        from valuedrift.synthesis.prompts import read_answers, requests, writing
        from valuedrift.synthesis.questions import Question

        questions = [Question(**row) for row in json.loads(self.questions.read_text(encoding="utf-8"))]
        asked = requests(questions, self.stance, self.candidates, self.seed)
        progress(Progress(0, len(asked), "loading the writer"))
        with self.writer.open(device=self.device, threads=self.threads, cache_tokens=self.cache_tokens, keep=self.keep) as engine:
            responses = engine.sample(asked, writing(self.seed), lambda done, total: progress(Progress(done, total)))
        answers = read_answers(questions, self.stance, self.candidates, responses)
        write_whole(written_frame(answers), self.out)
        return WriteResult(rows=len(answers))
