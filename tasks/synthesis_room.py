"""What the tasks of one synthesis share: the questions, in shards, and the keys of every step, known before any step runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from functools import cached_property
from typing import Any

from valuedrift.fingerprint import fingerprint
from valuedrift.judges.registry import judge_identity
from valuedrift.stance import Stance
from valuedrift.storage.steps import Steps
from valuedrift.study.runtime import Runtime
from valuedrift.synthesis.config import Synthesis, stances_of
from valuedrift.synthesis.questions import Question, starter_answers
from valuedrift.tasks.identity import key_of
from valuedrift.tasks.workroom import Workroom

VERSION = 1
"""Raised when the same accepted answers would give other pairs."""
SHARD = 200
"""Questions a shard: what a killed run has to write or judge again at most."""
TABLES = ("candidates", "synthetic_pairs")


class SynthesisRoom(Workroom):
    """Built once a flow run.

    Args:
        root: Where the tables lie.
        questions: What pairs are made for.
        synthesis: What is asked of them.
        runtime: Devices, parallelism and patience.
    """

    def __init__(self, root: str, questions: Sequence[Question], synthesis: Synthesis, runtime: Runtime) -> None:
        super().__init__(root, runtime)
        self.questions = tuple(questions)
        self.synthesis = synthesis
        self.steps = Steps(self.store.root)

    @cached_property
    def shards(self) -> list[Shard]:
        """Questions of some hundred each with one stance to answer them in; a setting that needs the same stances finds them again."""
        parts = [self.questions[start : start + SHARD] for start in range(0, len(self.questions), SHARD)]
        return [Shard(self, part, stance) for stance in stances_of(self.synthesis.dial.setting) for part in parts]

    @cached_property
    def writer_identity(self) -> dict[str, Any]:
        """What of the writer can change its answers."""
        return self.synthesis.writer_identity()

    @cached_property
    def judge_identity(self) -> dict[str, Any]:
        """What of the judge can change its judgements."""
        return judge_identity(self.synthesis.judge)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Of the candidates and the pairs."""
        return {
            "stage": "synthesize",
            "version": VERSION,
            "judged": [shard.judge_key for shard in self.shards],
            "dial": self.synthesis.dial.model_dump(mode="json"),
            "writer": self.synthesis.writer_name,
            "judge": self.synthesis.judge.name,
        }

    @cached_property
    def key(self) -> str:
        """Under which they are kept."""
        return key_of(self.identity)

    @property
    def partition(self) -> dict[str, str | int]:
        """The part of the tables that they lie in."""
        return {"synthesis": self.synthesis.name}

    def finished(self) -> bool:
        """Whether candidates and pairs of this very synthesis lie in the store."""
        entries = [self.store.entry(table, self.partition) for table in TABLES]
        return all(entry is not None and entry.key == self.key and self.store.exists(entry) for entry in entries)

    def fingerprints(self) -> dict[str, str]:
        """Of what the pairs were made of, for their card."""
        return {
            "questions": fingerprint(sorted(astuple(question) for question in self.questions)),
            "writer": fingerprint(self.writer_identity),
            "judge": fingerprint(self.judge_identity),
            "synthesis": self.key,
        }


class Shard:
    """Some questions and the stance that they are answered in.

    Args:
        work: The synthesis.
        questions: Some of its questions.
        stance: One of the stances that its setting needs.
    """

    def __init__(self, work: SynthesisRoom, questions: Sequence[Question], stance: Stance) -> None:
        self._work = work
        self.questions = tuple(questions)
        self.stance = stance

    @cached_property
    def write_key(self) -> str:
        """Of the answers: questions, stance, writer; of packaged ones their text."""
        return key_of(
            {
                "step": "write",
                "stance": self.stance.value,
                "questions": [(question.prompt_id, question.prompt) for question in self.questions],
                "by": self._work.writer_identity,
                "packaged": [(answer.prompt_id, answer.response) for answer in self.packaged()]
                if self._work.synthesis.writer is None
                else [],
            }
        )

    @cached_property
    def judge_key(self) -> str:
        """Of the judgements: answers and judge."""
        return key_of({"step": "judge", "answers": self.write_key, "by": self._work.judge_identity})

    def packaged(self) -> list[Any]:
        """The packaged answers to its questions in its stance."""
        return [answer for answer in starter_answers(self.questions) if answer.stance is self.stance]
