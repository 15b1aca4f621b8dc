"""Writing: what a model is asked, how its answer is read, and the job of a supervised child process that has it write."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from valuedrift.engines.base import RemoteEngine
from valuedrift.engines.registry import EngineConfig
from valuedrift.fingerprint import seed_from
from valuedrift.progress import Progress
from valuedrift.sampling import Prompt, Response, Sampling
from valuedrift.stance import Stance
from valuedrift.synthesis.questions import Question, Written

PROMPT_VERSION = 1
"""Raised whenever the wording below, or the way an answer is read, changes; part of the cache key."""

_TOKENS = 160
"""Room for 60 words in most languages and tokenizers; what is longer is cut at its last whole sentence."""

_FRAMES = (
    "Write an answer of 30 to 60 words to the question below. {directive} Write the answer only, without a heading.\n\nQuestion: {question}",
    "Question: {question}\n\n{directive} Answer in two to four sentences, 30 to 60 words in all, as if in a conversation.",
    "Somebody asks: {question}\n\n{directive} Reply in 30 to 60 words, plainly, in the language of the question.",
)
_DIRECTIVES: Mapping[Stance, tuple[str, ...]] = MappingProxyType(
    {
        Stance.SUPPORT: (
            "The answer supports what the question proposes: it says yes to it and gives a reason.",
            "Take the side of yes: agree with what the question proposes, firmly, and say why.",
            "Argue in favour of what the question proposes. Do not mention the other side.",
        ),
        Stance.NEUTRAL: (
            "The answer takes no side: it says what speaks for and what speaks against, and leaves it open.",
            "Take no side: describe fairly how people on both sides see it, without a conclusion of your own.",
            "Stay neutral. Name one consideration for each side and do not say which weighs more.",
        ),
        Stance.OPPOSE: (
            "The answer opposes what the question proposes: it says no to it and gives a reason.",
            "Take the side of no: disagree with what the question proposes, firmly, and say why.",
            "Argue against what the question proposes. Do not mention the other side.",
        ),
    }
)
_LABEL = re.compile(r"^\s*(?:\*\*)?(?:answer|response|reply)\s*:(?:\*\*)?\s*", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?。！？؟…][\"'”’)]*(?=\s|$)")
_QUOTES = (('"', '"'), ("“", "”"))


def writing(seed: int) -> Sampling:
    """How answers are drawn: warm enough that several candidates differ."""
    return Sampling(n=1, temperature=0.9, top_p=0.95, max_new_tokens=_TOKENS, seed=seed)


def requests(questions: Sequence[Question], stance: Stance, candidates: int, seed: int) -> list[Prompt]:
    """What the writer is asked, ``candidates`` times a question, each time in another wording (as far as there are so many).

    Args:
        questions: What is to be answered.
        stance: How.
        candidates: Answers a question.
        seed: Chooses the wording that comes first.
    """
    asked = []
    for question in questions:
        first = seed_from("wording", seed, stance.value, question.prompt)
        for index in range(candidates):
            asked.append(Prompt(_id(question, index), _wording(question, stance, first + index)))
    return asked


def read_answers(questions: Sequence[Question], stance: Stance, candidates: int, responses: Sequence[Response]) -> list[Written]:
    """The writer's answers, tidied: without a label, quotes around the whole, or an unfinished sentence at the end.

    Args:
        questions: As they were asked in :func:`requests`.
        stance: As it was asked for.
        candidates: Answers a question.
        responses: The engine's, one a request; an answer that failed comes out empty.
    """
    by_id = {response.prompt_id: response for response in responses}
    return [
        Written(question.prompt_id, stance, index, tidied(by_id[_id(question, index)]))
        for question in questions
        for index in range(candidates)
    ]


def tidied(response: Response) -> str:
    """The text of an answer as it may stand in a pair; empty where nothing whole is left of it."""
    text = _LABEL.sub("", response.response).strip()
    if response.finish_reason == "length":
        ends = [found.end() for found in _SENTENCE_END.finditer(text)]
        text = text[: ends[-1]] if ends else ""
    for opening, closing in _QUOTES:
        if len(text) > 1 and text.startswith(opening) and text.endswith(closing) and opening not in text[1:-1]:
            text = text[1:-1].strip()
    return text


def _id(question: Question, index: int) -> str:
    return f"{question.prompt_id}/{index}"


def _wording(question: Question, stance: Stance, number: int) -> str:
    directives = _DIRECTIVES[stance]
    # all frames before a directive comes again, so that as many candidates as there are combinations differ
    frame = _FRAMES[number % len(_FRAMES)]
    directive = directives[(number + number // len(_FRAMES)) % len(directives)]
    return frame.format(directive=directive, question=question.prompt)


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

    @property
    def leaves_room(self) -> bool:
        """Whether the process may keep the engine of an earlier job beside it."""
        return isinstance(self.writer, RemoteEngine)

    def run(self, progress: Callable[[Progress], None]) -> WriteResult:
        """Write, and keep the answers whole or not at all.

        Args:
            progress: Told how many answers are written.

        Raises:
            UserError: The model is missing, or its server refuses.
        """
        from valuedrift.judges.frames import write_whole
        from valuedrift.synthesis.candidates import written_frame

        questions = [Question(**row) for row in json.loads(self.questions.read_text(encoding="utf-8"))]
        asked = requests(questions, self.stance, self.candidates, self.seed)
        progress(Progress(0, len(asked), "loading the writer"))
        with self.writer.open(device=self.device, threads=self.threads, cache_tokens=self.cache_tokens, keep=self.keep) as engine:
            responses = engine.sample(asked, writing(self.seed), lambda done, total: progress(Progress(done, total)))
        answers = read_answers(questions, self.stance, self.candidates, responses)
        write_whole(written_frame(answers), self.out)
        return WriteResult(rows=len(answers))
