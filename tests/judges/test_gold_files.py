"""Odd files and odd numbers: what a user is told, before anything is read, and nothing that is no number."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from pydantic import Field, ValidationError
from typer.testing import CliRunner

from valuedrift.errors import UserError
from valuedrift.flows.cli import judge_compare  # noqa: F401 # hangs its command on the application
from valuedrift.flows.cli.app import app
from valuedrift.flows.cli.naming import auditor_config
from valuedrift.judges.base import Configured, Judge, Judgement, Pair
from valuedrift.judges.calibrated import Calibration, ReadingJudge
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.embedded_lm import EmbeddedLM
from valuedrift.judges.network.weights import Description, read_description, weights_folder
from valuedrift.judges.panel import Panel
from valuedrift.judges.registry import JUDGES
from valuedrift.progress import Progress
from valuedrift.stance import JudgeStatus

ROWS = [("Should we?", "yes", "support"), ("Should we?", "no", "oppose"), ("May we?", "yes", "support")]


class Word(ReadingJudge):
    """Judges by a word."""

    when = "never"
    type: Literal["word"] = Field(default="word", description="Kind of judge.")
    name: str = Field(default="word", min_length=1, description="Name of the judge in every table.")
    word: str = Field(default="yes", description="What supports.")
    asked: ClassVar[int] = 0

    def own_identity(self) -> dict[str, Any]:
        return {"type": self.type, "word": self.word}

    def load_uncalibrated(self, *, threads: int | None = None, device: str = "auto", keep: Path | None = None) -> Judge:
        return WordJudge(self)


class WordJudge(Configured[Word]):
    def judge(self, pairs: Sequence[Pair], progress: Any = None) -> list[Judgement]:
        Word.asked += len(pairs)
        told = [(0.8, 0.1, 0.1) if self._config.word in pair.response else (0.1, 0.1, 0.8) for pair in pairs]
        if progress is not None:
            progress(Progress(len(pairs), len(pairs), self.name))
        return [Judgement(*p, 0.0, JudgeStatus.OK) for p in told]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder with a gold file and two judges; the kind is registered as long as a test needs it."""
    monkeypatch.setattr(JUDGES, "_known", dict(JUDGES._known))
    JUDGES.register(Word)
    Word.asked = 0
    monkeypatch.chdir(tmp_path)
    write("gold.csv", ROWS)
    Path("a.yaml").write_text("{type: word, name: a}")
    Path("b.yaml").write_text("{type: word, name: b, word: 'no'}")
    yield


def write(name: str, rows: Sequence[tuple[str, str, str]]) -> None:
    Path(name).write_text("prompt,response,stance\n" + "".join(f"{','.join(row)}\n" for row in rows))


def compared(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["judge", "compare", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_a_page_of_another_name_is_refused() -> None:
    with pytest.raises(UserError, match="HTML"):
        compared("gold.csv", "--judge", "a.yaml", "--judge", "b.yaml", "--report", "page.txt")
    assert Word.asked == 0


def test_a_judge_that_lacks_its_weights_is_found_before_another_reads() -> None:
    Path("c.yaml").write_text("{type: cross-encoder, name: c, weights: embeded-2}")
    with pytest.raises(UserError, match="no judge weights"):
        compared("gold.csv", "--judge", "a.yaml", "--judge", "c.yaml")
    assert Word.asked == 0


def test_weights_are_no_type_of_judge() -> None:
    with pytest.raises(UserError, match=r"'embedded-2' names weights.*weights=embedded-2"):
        compared("gold.csv", "--judge", "a.yaml", "--judge", "embedded-2")
    with pytest.raises(UserError, match="--auditor embedded: 'embedded' names weights"):
        auditor_config("embedded", None)


def test_rows_that_repeat_an_answer_are_told_of() -> None:
    judges = ("--judge", "a.yaml", "--judge", "b.yaml", "--json")
    assert not any("repeat" in note for note in json.loads(compared("gold.csv", *judges))["notes"])
    write("twice.csv", [*ROWS, ROWS[0], ("Should we?", "no", "neutral")])
    (told,) = [note for note in json.loads(compared("twice.csv", *judges))["notes"] if "repeat" in note]
    assert told.startswith("2 of 5 rows repeat an answer") and "1 answer labelled in several ways" in told


@pytest.mark.parametrize(
    ("judge", "weights", "fix"),
    [
        (CrossEncoder, "embeded-2", "did you mean 'embedded-2'"),
        (CrossEncoder, "", "packaged ones are embedded, embedded-2"),
        (EmbeddedLM, "flor", "packaged ones are embedded"),
    ],
)
def test_weights_of_no_such_name(judge: Any, weights: str, fix: str) -> None:
    with pytest.raises(UserError, match="no judge weights") as told:
        judge(weights=weights).check()
    assert fix in str(told.value)


def test_a_folder_without_weights_is_no_judge() -> None:
    with pytest.raises(UserError, match=r"weights\.safetensors and judge\.json missing"):
        CrossEncoder(weights=".").check()


NUMBERS = [float("inf"), float("nan"), 0.0, -1.0, 1e-310, 1e-3, 1e308]


@pytest.mark.parametrize("number", NUMBERS)
def test_temperatures_under_which_numbers_overflow_are_refused(number: float) -> None:
    known = read_description(weights_folder("embedded")).model_dump()
    with pytest.raises(ValidationError):
        Description.model_validate(known | {"temperature": number})
    fitted = {"method": "vector", "judge": "a", "judge_fingerprint": "", "labels": {}, "prompts": 3}
    Calibration.model_validate(fitted | {"temperature": 0.05, "bias": (20.0, -20.0, 0.0)})
    with pytest.raises(ValidationError):
        Calibration.model_validate(fitted | {"temperature": number, "bias": (0.0, 0.0, 0.0)})
    members = (Word(name="a"), Word(name="b", word="no"))
    with pytest.raises(ValidationError, match=r"must lie between 0\.01 and 100"):
        Panel(members=members, how="calibrated", temperatures={"a": number, "b": 1.0})


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan"), 1e308])
def test_biases_and_weights_that_are_no_numbers_are_refused(number: float) -> None:
    with pytest.raises(ValidationError):
        Calibration(method="vector", temperature=1.0, bias=(number, 0.0, 0.0), judge="a", judge_fingerprint="", labels={}, prompts=3)
    with pytest.raises(ValidationError, match="must lie between"):
        Panel(members=(Word(name="a"), Word(name="b", word="no")), weights={"a": number})
