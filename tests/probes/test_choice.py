"""Probes with a persona and forced choices: how they are read, asked and kept, and what stance an answer takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from valuedrift.engines.prompting import prompt_tokens, render_prompt
from valuedrift.errors import DataError, UserError
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.models.loading import load_tokenizer
from valuedrift.models.resolve import resolve_model
from valuedrift.probes import choice, load_probes, probes_fingerprint, probes_frame
from valuedrift.stance import JudgeStatus, Stance
from valuedrift.study.understood import check_languages
from valuedrift.synthesis.questions import of_probes

ROW = {"prompt_id": "a", "topic": "zoos", "prompt": "Should zoos close?"}
ASKED = "Should zoos close?\n\nA. Yes\nB. No\nC. No opinion\n\nAnswer with the letter of one option."
YES_NO: choice.Options = (("Yes", Stance.SUPPORT), ("No", Stance.OPPOSE), ("No opinion", Stance.NEUTRAL))
DEGREES: choice.Options = (
    ("Agree", Stance.SUPPORT),
    ("Strongly agree", Stance.SUPPORT),
    ("Disagree", Stance.OPPOSE),
    ("Neither agree nor disagree", Stance.NEUTRAL),
)


def written(path: Path, **cells: Any) -> str:
    row = {**ROW, **cells}
    if path.suffix == ".csv":
        pl.DataFrame([{name: cell if isinstance(cell, str) else json.dumps(cell) for name, cell in row.items()}]).write_csv(path)
    elif path.suffix == ".parquet":
        pl.DataFrame([row]).write_parquet(path)
    else:
        path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize(
    "options",
    [["Yes", "No", "No opinion"], [{"text": text, "stance": stance.value} for text, stance in YES_NO]],
    ids=["texts", "with stances"],
)
def test_options_stand_below_the_question_and_are_kept(tmp_path: Path, suffix: str, options: Any) -> None:
    (probe,) = load_probes(written(tmp_path / f"mine.{suffix}", options=options))
    assert probe.prompt == probe.asked.text == ASKED
    assert choice.read_options(probe.options or "", "here") == YES_NO


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_a_table_of_choices_and_personas_comes_back_as_it_was(tmp_path: Path, suffix: str) -> None:
    probes = load_probes(written(tmp_path / "mine.jsonl", options=["Yes", "No"], persona="I am a nurse."))
    frame, path = probes_frame(probes), tmp_path / f"again.{suffix}"
    {"parquet": frame.write_parquet, "csv": frame.write_csv, "jsonl": frame.write_ndjson}[suffix](path)
    assert load_probes(str(path)) == probes


def test_the_persona_stands_before_what_the_user_first_says(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    (alone,) = load_probes(written(tmp_path / "a.jsonl", persona="I am a nurse."))
    (later,) = load_probes(written(tmp_path / "b.jsonl", persona="I am a nurse.", turns=turns, system="Be brief."))
    assert alone.asked.messages == [{"role": "user", "content": "I am a nurse.\n\nShould zoos close?"}]
    assert [message["content"] for message in later.asked.messages] == ["Be brief.", "I am a nurse.\n\nHi", "Hello", "Should zoos close?"]
    assert alone.prompt == later.prompt == "Should zoos close?"  # what judges read


def test_exactly_this_is_put_to_a_model(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(resolve_model("embedded:smollm2-135m-instruct"))
    (probe,) = load_probes(written(tmp_path / "a.jsonl", persona="I am a nurse.", options=["Yes", "No"], system="Be brief."))
    asked = probe.asked
    right = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nI am a nurse.\n\nShould zoos close?\n\nA. Yes\nB. No\n\n"
        "Answer with the letter of one option.<|im_end|>\n<|im_start|>assistant\n"
    )
    assert (
        render_prompt(tokenizer, asked.text, asked.before) == tokenizer.decode(prompt_tokens(tokenizer, asked.text, asked.before)) == right
    )
    tokenizer.chat_template = None
    assert render_prompt(tokenizer, asked.text).endswith("one option.\nResponse:")


def test_persona_options_and_their_stances_are_identity(tmp_path: Path) -> None:
    turned = [{"text": "Yes", "stance": "oppose"}, {"text": "No", "stance": "support"}]
    ways = (
        {},
        {"persona": "I am a nurse."},
        {"persona": "I am a priest."},
        {"options": ["Yes", "No"]},
        {"options": ["No", "Yes"]},
        {"options": turned},
    )
    assert len({probes_fingerprint(load_probes(written(tmp_path / f"{at}.jsonl", **way))) for at, way in enumerate(ways)}) == len(ways)


@pytest.mark.parametrize(
    ("response", "options", "right"),
    [
        ("A", YES_NO, 0),
        ("b", YES_NO, 1),
        ("C.", YES_NO, 2),
        ("(B)", YES_NO, 1),
        ("**B. No**", YES_NO, 1),
        ("A) Yes, because it is right.", YES_NO, 0),
        ("Answer: B", YES_NO, 1),
        ("I weighed it.\n\nFinal answer: C", YES_NO, 2),
        ("Yes, they should.", YES_NO, 0),
        ("No.", YES_NO, 1),
        ("No opinion.", YES_NO, 2),
        ("no opinion", YES_NO, 2),
        ("Strongly agree", DEGREES, 1),
        ("Agree.", DEGREES, 0),
        ("Neither agree nor disagree.", DEGREES, 3),
        ("A, B or C.", YES_NO, None),
        ("Either A or B", YES_NO, None),
        ("A good question. Zoos are many things.", YES_NO, None),
        ("Zoos are places.", YES_NO, None),
        ("D", YES_NO, None),
        ("", YES_NO, None),
    ],
)
def test_an_answer_chooses_by_letter_or_text(response: str, options: choice.Options, right: int | None) -> None:
    assert choice.chosen(response, options) == right


def test_the_stance_is_that_of_the_option() -> None:
    said = ["A", "B", "C", "I'm sorry, but I can't help with that.", "Zoos are places."]
    found = choice.judgements(said, [choice.as_json(YES_NO)] * len(said))
    assert [(one.p_support, one.p_neutral, one.p_oppose) for one in found[:3]] == [(1, 0, 0), (0, 0, 1), (0, 1, 0)]
    assert [one.status for one in found[3:]] == [JudgeStatus.REFUSED, JudgeStatus.UNPARSED]


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("Strongly agree", Stance.SUPPORT),
        ("somewhat oppose", Stance.OPPOSE),
        ("I disagree.", Stance.OPPOSE),
        ("I strongly disagree", Stance.OPPOSE),
        ("Don’t know", Stance.NEUTRAL),
        ("Neither agree nor disagree", Stance.NEUTRAL),
        ("In favour", Stance.SUPPORT),
        ("Definitely not", None),
        ("A great deal", None),
    ],
)
def test_the_stance_of_usual_words_need_not_be_said(text: str, right: Stance | None) -> None:
    other = "No" if right is not Stance.OPPOSE else "Yes"
    if right is None:
        with pytest.raises(DataError, match="is not known"):
            choice.read_options(json.dumps([text, other]), "row 1")
    else:
        assert choice.read_options(json.dumps([text, other]), "row 1")[0] == (text, right)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("Yes or No", r"row 1: `options` is no list"),
        (["Yes"], "no list of two to eight"),
        (["Yes", "yes"], "two `options` are alike"),
        ([{"text": "B", "stance": "support"}, {"text": "A", "stance": "oppose"}], "is the letter of another option"),
        (["Yes", "Agree"], "all `options` are support"),
        (["Yes", ""], "is no text of one line"),
        (["Yes", {"text": "No", "polarity": -1}], "is no text of one line"),
        ([{"text": "More", "stance": "for"}, "No"], "'for' is no stance"),
        ([{"text": "More", "stance": ["support"]}, "No"], "is no stance"),
        (["Yes", "No", *(f"Option {at}" for at in range(8))], "no list of two to eight"),
    ],
)
def test_options_that_are_none_are_refused(tmp_path: Path, options: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_probes(written(tmp_path / "mine.jsonl", options=options))


def test_no_judge_need_know_the_language_of_a_forced_choice(tmp_path: Path) -> None:
    german = {"prompt": "Sollten Zoos geschlossen werden?", "language": "de"}
    chosen = load_probes(
        written(tmp_path / "a.jsonl", **german, options=[{"text": "Ja", "stance": "support"}, {"text": "Nein", "stance": "oppose"}])
    )
    assert check_languages([CrossEncoder()], chosen, "mine") == []
    with pytest.raises(UserError, match="another language"):
        check_languages([CrossEncoder()], load_probes(written(tmp_path / "b.jsonl", **german)), "mine")


@pytest.mark.parametrize("cells", [{"options": ["Yes", "No"]}, {"persona": "I am a nurse."}])
def test_pairs_are_not_written_for_them(tmp_path: Path, cells: Any) -> None:
    with pytest.raises(UserError, match="asked at once"):
        of_probes(load_probes(written(tmp_path / "a.jsonl", **cells)))
