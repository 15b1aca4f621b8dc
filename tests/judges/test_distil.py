"""A small judge learns from a teacher whose rule is known: what it learns, what is never asked twice, and what stops before anything is asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Literal

import polars as pl
import pytest
from pydantic import Field
from tiny_bodies import write_body, write_decoder
from typer.testing import CliRunner, Result

from valuedrift.errors import DataError, UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.flows.cli import judge_distil  # noqa: F401 # hangs its command on the application
from valuedrift.flows.cli.app import app
from valuedrift.judges.base import Configured, Judge, Judgement, Pair
from valuedrift.judges.calibrated import ReadingJudge
from valuedrift.judges.cross_encoder import CrossEncoder, load_cross_encoder
from valuedrift.judges.registry import JUDGES, judge_identity
from valuedrift.judges.training.lessons import Lesson, Lessons
from valuedrift.progress import Progress
from valuedrift.stance import STANCES, JudgeStatus, Stance
from valuedrift.storage.part import Part
from valuedrift.storage.store import Store
from valuedrift.tasks import distilling

SUPPORT, NEUTRAL, OPPOSE = STANCES
RULE = {SUPPORT: (0.9, 0.06, 0.04), NEUTRAL: (0.1, 0.8, 0.1), OPPOSE: (0.04, 0.06, 0.9)}


def by_rule(response: str) -> Stance:
    """What the teacher says: an answer with a yes supports, one with a no opposes."""
    words = response.split()
    return SUPPORT if "yes" in words else OPPOSE if "no" in words else NEUTRAL


class Rule(ReadingJudge):
    """Judges by a word."""

    when = "never"
    type: Literal["rule"] = Field(default="rule", description="Kind of judge.")
    name: str = Field(default="rule", min_length=1, description="Name of the judge in every table.")
    always: Literal["", "support"] = Field(default="", description="What it always says.")
    asked: ClassVar[list[str]] = []
    dies_after: ClassVar[int | None] = None

    def own_identity(self) -> dict[str, Any]:
        return {"type": self.type, "always": self.always}

    def load_uncalibrated(self, *, threads: int | None = None, device: str = "auto", keep: Path | None = None) -> Judge:
        return RuleJudge(self)


class RuleJudge(Configured[Rule]):
    def judge(self, pairs: Sequence[Pair], progress: Callable[[Progress], None] | None = None) -> list[Judgement]:
        if Rule.dies_after is not None and len(Rule.asked) >= Rule.dies_after:
            raise UserError("the server is gone", fix="try again")
        Rule.asked += [pair.response for pair in pairs]
        return [
            Judgement.without_stance(JudgeStatus.REFUSED)
            if "banned" in pair.response
            else Judgement(*RULE[Stance(self._config.always) if self._config.always else by_rule(pair.response)], 0.0, JudgeStatus.OK)
            for pair in pairs
        ]


@pytest.fixture(autouse=True)
def rule(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The teacher is registered as long as a test needs it, and has been asked nothing."""
    monkeypatch.setattr(JUDGES, "_known", dict(JUDGES._known))
    JUDGES.register(Rule)
    Rule.asked, Rule.dies_after = [], None
    yield
    Rule.dies_after = None


@pytest.fixture(scope="session")
def body(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny RoBERTa."""
    return write_body(tmp_path_factory.mktemp("body") / "roberta")


def made_rows(questions: int = 30, each: int = 8) -> list[dict[str, str]]:
    """Answers of random words to questions; some refuse."""
    random = Random(0)
    fill = ["i", "we", "think", "it", "is", "good", "bad", "this", "that", "of", "course"]
    rows = []
    for question in range(questions):
        prompt = f"should {' '.join(random.choice(fill) for _ in range(6))} be allowed {question} ?"
        for place in range(each):
            words = [random.choice(fill) for _ in range(5)]
            words.insert(random.randrange(5), ("yes", "no", "always")[place % 3])
            rows.append({"prompt": prompt, "response": " ".join([*words, "banned"] if place == 7 and question % 5 == 0 else words)})
    return rows


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["judge", "distil", *map(str, arguments)])


def raised(result: Result) -> str:
    assert isinstance(result.exception, UserError | DataError), result.output
    return str(result.exception)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    pl.DataFrame(made_rows()).write_ndjson(tmp_path / "rows.jsonl")
    return tmp_path / "rows.jsonl"


@pytest.mark.slow
def test_what_the_teacher_says_is_learnt_and_used_like_any_judge(tmp_path: Path, rows: Path, body: Path) -> None:
    done = command("--teacher", "rule", "--answers", rows, "--body", body, "--out", tmp_path / "floor", "--epochs", 12, "--json")
    assert done.exit_code == 0, done.exception
    told = json.loads(done.stdout.splitlines()[-1])
    agreement = told["agreement"]
    assert agreement["accuracy_low"] > 0.6 > 0.45 > told["most_frequent"], agreement
    assert agreement["accuracy_low"] <= agreement["accuracy"] <= agreement["accuracy_high"]
    assert agreement["prompts"] == 6
    assert told["left_out"] == {"refused": 6}
    card = (tmp_path / "floor" / "README.md").read_text()
    assert "rule (rule)" in card and "not with people" in card and "6 refused" in card and "packaged gold set" in card
    assert {one["data"] for one in json.loads((tmp_path / "floor" / "metrics.json").read_text())} == {
        "held-out questions, as the teacher judges them",
        "the packaged gold set",
    }
    judge = load_cross_encoder(CrossEncoder(weights=str(tmp_path / "floor")))
    pairs = [Pair("", "should this be allowed ?", text) for text in ("yes i think it is good", "no i think it is good")]
    first, second = judge.judge(pairs)
    assert first.p_support is not None and second.p_support is not None and first.p_support > second.p_support + 0.2

    # the folder is whole: it judges the same from elsewhere, without the body that it was made of
    shutil.copytree(tmp_path / "floor", tmp_path / "elsewhere")
    moved = CrossEncoder(weights=str(tmp_path / "elsewhere"))
    assert load_cross_encoder(moved).judge(pairs) == [first, second]
    assert judge_identity(moved) == judge_identity(CrossEncoder(weights=str(tmp_path / "floor")))
    assert moved.known_languages is None and "<s>" in moved.control_names()
    (tmp_path / "elsewhere" / "body" / "config.json").write_text((body / "config.json").read_text() + " ")
    with pytest.raises(UserError, match="another version"):
        load_cross_encoder(moved)

    # the same again: nothing is asked, and the weights are the same
    asked = len(Rule.asked)
    again = command("--teacher", "rule", "--answers", rows, "--body", body, "--out", tmp_path / "floor", "--epochs", 12)
    assert again.exit_code == 0, again.exception
    assert len(Rule.asked) == asked
    assert judge_identity(CrossEncoder(weights=str(tmp_path / "floor"))) == judge_identity(moved)


def test_what_was_judged_before_a_fault_is_not_asked_again(tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distilling, "_CHUNK", 50)
    answers = distilling.answers_of_file(str(rows))
    teacher, keep = distilling.Teacher.of(Rule()), tmp_path / "floor.teacher"

    def ask() -> tuple[pl.DataFrame, list[str]]:
        return distilling.judged_by(teacher, answers, keep, threads=None, progress=lambda _: None)

    Rule.dies_after = 100
    with pytest.raises(UserError, match="server is gone"):
        ask()
    assert len(Rule.asked) == 100
    Rule.dies_after = None
    judged, _ = ask()
    assert sorted(Rule.asked) == sorted(answers["response"])
    assert judged.select("prompt", "response").rows() == answers.select("prompt", "response").rows()
    assert [by_rule(text) for text in judged.filter(pl.col("status") == "ok")["response"]] == [
        lesson.verdict for lesson in lessons_of(judged)
    ]
    other = distilling.Teacher.of(Rule(always="support"))
    assert distilling.to_ask(other, answers, keep).height == answers.height  # what one judge said is not another's
    assert distilling.to_ask(teacher, answers, keep).height == 0


def lessons_of(judged: pl.DataFrame) -> list[Lesson]:
    return [Lesson(*row) for row in distilling.probabilities_of(judged)]


def test_questions_are_held_out_whole_with_their_opposites_in_whatever_order_they_come(tmp_path: Path) -> None:
    rows = [row | {"pair_id": f"p{number // 16}"} for number, row in enumerate(made_rows(60))]
    pl.DataFrame(rows).write_csv(tmp_path / "rows.csv")
    Random(1).shuffle(rows)
    pl.DataFrame(rows).write_csv(tmp_path / "shuffled.csv")
    split = []
    for name in ("rows.csv", "shuffled.csv"):
        teacher = distilling.Teacher.of(Rule())
        judged, _ = distilling.judged_by(
            teacher, distilling.answers_of_file(str(tmp_path / name)), tmp_path / "kept", threads=None, progress=print
        )
        split.append(Lessons.of(lessons_of(judged), name))
    one, other = split
    assert one == other
    assert len({lesson.question for lesson in one.held_out}) == 6 and len({lesson.question for lesson in one}) == 30
    assert not {lesson.question for lesson in one.held_out} & {lesson.question for lesson in one.seen}
    assert len({lesson.prompt for lesson in one.held_out}) == 12


def test_a_draw_is_even_over_questions_and_takes_judged_answers_first() -> None:
    answers = pl.DataFrame(
        [
            {"question": f"q{question}", "prompt": f"q{question}", "response": f"a{place}", "status": "ok" if place == 3 else None}
            for question in range(10)
            for place in range(2 + question)
        ],
        schema_overrides={"status": pl.String},
    )
    found = distilling.drawn(answers, 30, 0)
    assert found.height == 30
    assert set(found.group_by("question").len()["len"]) <= {2, 3, 4}
    assert found.filter(pl.col("status") == "ok").height == 8
    assert distilling.drawn(answers, 30, 0).equals(found) and not distilling.drawn(answers, 30, 1).equals(found)


def study(tmp_path: Path, *, judged: float = 1.0, name: str = "deep", table: str = "stances") -> Store:
    """A study whose first answers the teacher has judged."""
    store = Store(tmp_path / "root")
    rows = made_rows()
    prompts = list(dict.fromkeys(row["prompt"] for row in rows))
    of = {prompt: f"p{number}" for number, prompt in enumerate(prompts)}
    probes = [
        {"prompt_id": of[text], "topic": "t", "polarity": 1, "pair_id": of[text], "prompt": text, "language": "en", "source": "x"}
        for text in prompts
    ]
    store.put("probes", pl.DataFrame(probes), partition={"probe_set": "mine"}, key="probes", identity={})
    answers = pl.DataFrame(
        [{"prompt_id": of[row["prompt"]], "response": row["response"], "sample_idx": number % 8} for number, row in enumerate(rows)]
    ).with_columns(probe_set=pl.lit("mine"), topic=pl.lit("t"))
    place = {"study": "s", "run_id": "r", "step": 0}
    told = {"n_tokens": 5, "finish_reason": "stop", "engine": "e", "sampling": "x", "checkpoint": "c"}
    parts = [Part("responses", answers.with_columns(pl.lit(value).alias(key) for key, value in told.items()), place, "r", {})]
    said = [Judgement(*RULE[by_rule(text)], 0.0, JudgeStatus.OK) for text in answers["response"]]
    frame = answers.drop("response").hstack(distilling.judgements_frame(said)).head(round(judged * answers.height))
    if table == "stances":
        frame = frame.with_columns(judge=pl.lit(name), polarity=pl.lit(1, dtype=pl.Int8), pair_id=pl.col("prompt_id"))
        parts.append(Part("stances", frame, place, "s", {"stage": "judge", "judge": judge_identity(Rule())}, slot=name))
    else:
        frame = frame.with_columns(
            pl.lit(1.0).alias("probability"), judge=pl.lit("both"), cheap=pl.lit("quick"), strong=pl.lit(name),
            cheap_support=1.0, cheap_neutral=0.0, cheap_oppose=0.0,
        )  # fmt: skip
        parts.append(Part(table, frame, place, "s", {"stage": "cascade", "strong": judge_identity(Rule())}, slot="both"))
    store.put_all(parts)
    return store


@pytest.mark.parametrize("table", ["stances", "cascade_sample"])
def test_judgements_of_a_study_are_not_paid_for_again(tmp_path: Path, table: str) -> None:
    store = study(tmp_path, judged=0.5, table=table)
    by_name = distilling.named_in_study(store, "s", "deep", ())
    assert by_name is not None and by_name.identity == fingerprint(judge_identity(Rule()))
    assert distilling.named_in_study(store, "s", "absent", ()) is None
    teacher = distilling.Teacher.of(Rule())
    answers = distilling.answers_of_study(store, "s", teacher)
    assert answers.height == 240 and answers["status"].null_count() == 120
    judged, _ = distilling.judged_by(teacher, answers, tmp_path / "kept", threads=None, progress=lambda _: None)
    assert len(Rule.asked) == 120 and judged["status"].null_count() == 0
    known, _ = distilling.judged_by(by_name, answers, tmp_path / "kept", threads=None, progress=lambda _: None)
    assert known.height == 120 and len(Rule.asked) == 120
    other = distilling.answers_of_study(store, "s", distilling.Teacher.of(Rule(always="support")))
    assert other["status"].null_count() == 240  # another judge's


def test_a_cascade_teaches_nothing_itself(tmp_path: Path) -> None:
    store = study(tmp_path)
    frame = store.read("stances").drop("study", "run_id", "step").with_columns(judge=pl.lit("both"))
    store.put("stances", frame, partition={"study": "s", "run_id": "r", "step": 0}, key="c", identity={"stage": "cascade"}, slot="both")
    with pytest.raises(UserError, match="cascade is two judges"):
        distilling.named_in_study(store, "s", "both", ())


def test_a_teacher_that_says_one_thing_only_teaches_nothing_and_is_not_paid_twice(tmp_path: Path, rows: Path, body: Path) -> None:
    arguments = ("--teacher", "rule", "--teacher-set", "always=support", "--answers", rows, "--body", body, "--out", tmp_path / "floor")
    assert "says support of all" in raised(command(*arguments))
    asked = len(Rule.asked)
    assert not (tmp_path / "floor").exists() and asked
    assert "says support of all" in raised(command(*arguments))
    assert len(Rule.asked) == asked


def test_what_is_wrong_is_told_before_anything_is_asked(tmp_path: Path, rows: Path, body: Path) -> None:
    few, bare = tmp_path / "few.jsonl", tmp_path / "bare.csv"
    pl.DataFrame(made_rows(12)).write_ndjson(few)
    bare.write_text("prompt,text\nIs it?,Yes.\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    pickled = tmp_path / "pickled"
    shutil.copytree(body, pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    wrong = [
        ({"--answers": few}, "12 questions"),
        ({"--answers": bare}, "missing column response"),
        ({"--answers": tmp_path / "absent.csv"}, "no such file"),
        ({"--answers": "absent", "--root": tmp_path}, "no study 'absent'"),
        ({"--teacher": "oracle"}, "oracle"),
        ({"--teacher": "oracle"}, "--teacher oracle"),
        ({"--teacher-set": "alway=support"}, "--teacher rule with --teacher-set"),
        (
            {"--teacher": "cascade", "--teacher-set": "cheap=a", "--and": ("--teacher-set", "strong=b", "--teacher-set", "share=0.1")},
            "cascade is two judges",
        ),
        ({"--body": write_decoder(tmp_path / "decoder")}, "reads from left to right"),
        ({"--body": write_body(tmp_path / "short", "short")}, "can't read 290 tokens"),
        ({"--body": pickled}, "safetensors"),
        ({"--body": tmp_path / "absent"}, "no such model folder"),
        ({"--teacher": "cross-encoder", "--teacher-set": "weights=embedded-2", "--body": "embedded:minilm"}, "learn from itself"),
        ({"--out": tmp_path / "other"}, "something else than a judge"),
        ({"--out": tmp_path / "absent" / "floor"}, "no such folder"),
    ]
    for changed, message in wrong:
        options: dict[str, Any] = {"--teacher": "rule", "--answers": rows, "--body": body, "--out": tmp_path / "floor", **changed}
        more = options.pop("--and", ())
        said = raised(command(*(part for option in options.items() for part in option), *more))
        assert message in said, (message, said)
    assert not Rule.asked and not (tmp_path / "floor").exists()
    assert (tmp_path / "other" / "thesis.txt").read_text() == "mine"


def test_too_few_questions_with_a_stance_say_what_the_others_got(tmp_path: Path, body: Path) -> None:
    rows = [{**row, "response": f"{row['response']} banned"} if at >= 12 * 8 else row for at, row in enumerate(made_rows(30))]
    pl.DataFrame(rows).write_ndjson(tmp_path / "rows.jsonl")
    refused = len({(row["prompt"], row["response"]) for row in rows if "banned" in row["response"]})
    told = raised(command("--teacher", "rule", "--answers", tmp_path / "rows.jsonl", "--body", body, "--out", tmp_path / "floor"))
    assert f"answers to 12 questions with a stance (of the others: {refused} refused): too few" in told


def test_a_card_says_where_the_gold_set_was_learnt_from() -> None:
    from valuedrift.judges.training.card import _beside_gold
    from valuedrift.starter import gold_prompts

    prompt = sorted(gold_prompts())[0]
    mine, theirs = (Lesson(text, text, "Yes.", RULE[SUPPORT]) for text in ("Should we?", prompt))
    assert "other questions" in _beside_gold(Lessons((mine,), (mine,)))
    assert "1 question of the gold set" in _beside_gold(Lessons((mine,), (theirs,)))


@pytest.mark.slow
def test_minilm_learns_a_rule_that_it_does_not_know(tmp_path: Path) -> None:
    """The shipped judge finds the rule (an answer supports if it speaks of costs) no better than chance; after a few steps it does."""
    random = Random(0)
    things = (
        "zoos",
        "trams",
        "taxes on sugar",
        "school uniforms",
        "night flights",
        "old dams",
        "city parks",
        "rent caps",
        "lotteries",
        "fur farms",
    )
    about = {
        "cost": "What matters here is what it costs and who pays the bill.",
        "time": "What matters here is how many years it takes to finish.",
    }
    rows = []
    for number, thing in enumerate(things * 3):
        for place in range(6):
            kind = ("cost", "time")[place % 2]
            lead = random.choice(("Well.", "To begin with, people disagree.", "I have thought about this for long.", "Many ask me that."))
            rows.append(
                {
                    "prompt": f"Should we keep {thing}, yes or no ({number // 10})?",
                    "response": f"{lead} {about[kind]} That is all, number {place}.",
                }
            )
    lessons = [
        Lesson(row["prompt"], row["prompt"], row["response"], RULE[SUPPORT if "costs" in row["response"] else OPPOSE]) for row in rows
    ]
    from dataclasses import replace

    from valuedrift.judges.training.card import measure_student
    from valuedrift.judges.training.distil import Student, distil

    student = Student("embedded:minilm")
    assert student.from_shipped
    folder = tmp_path / "floor"
    folder.mkdir()
    parts = Lessons.of(lessons, "rows")
    distil(folder, student, parts, rates=replace(student.rates, epochs=4))
    measured = measure_student(folder, parts, from_shipped=True)
    assert measured.before is not None
    assert measured.before["accuracy"] < 0.7 and measured.agreement["accuracy"] > 0.9
    assert not (folder / "body").exists()
