"""Every shape of row, recognised and brought into the normal form; rows that can't be trained on, counted."""

import json
from pathlib import Path
from typing import Any

import pytest

from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.load import Rows, load_rows
from valuedrift.corpora.registry import Kind
from valuedrift.errors import DataError

Q, A = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}
Q2, A2 = {"role": "user", "content": "Really?"}, {"role": "assistant", "content": "Yes."}
B = {"role": "assistant", "content": "No reason."}
SYSTEM = {"role": "system", "content": "Be brief."}
SFT = {"prompt": "Why?", "response": "Because."}
PAIR = {"prompt": "Why?", "chosen": "Because.", "rejected": "No reason."}


@pytest.fixture
def load(tmp_path: Path):
    def write_and_load(*rows: dict[str, Any], kind: Kind = "sft", **options: Any) -> Rows:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return load_rows(Dataset(data=str(path), **options), kind)

    return write_and_load


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"messages": [Q, A]}, "messages"),
        ({"messages": [Q, A], "prompt": "Why?", "prompt_id": "7"}, "messages"),
        ({"messages": [{"role": "system", "content": ""}, Q, A]}, "messages"),
        ({"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]}, "messages"),
        ({"conversation": [{**Q, "toxic": False, "turn_identifier": 1}, {**A, "toxic": False}], "model": "gpt-4"}, "messages"),
        ({"prompt": "Why?", "completion": "Because."}, "prompt-completion"),
        ({"prompt": "Why?", "response": "Because."}, "prompt-completion"),
        ({"question": "Why?", "answer": "Because."}, "prompt-completion"),
        ({"prompt": [Q], "completion": [A]}, "prompt-completion"),
        ({"instruction": "Why?", "input": "", "output": "Because."}, "alpaca"),
        ({"instruction": "Why?", "input": None, "output": "Because."}, "alpaca"),
        ({"instruction": "Why?", "output": "Because."}, "alpaca"),
        ({"instruction": "Why?", "context": "", "response": "Because.", "category": "open_qa"}, "alpaca"),
    ],
)
def test_every_sft_shape_gives_the_same_row(load, row: dict[str, Any], name: str) -> None:
    loaded = load(row)
    assert (loaded.rows, loaded.format, loaded.dropped) == ([SFT], name, {})


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (PAIR, "preference"),
        ({"prompt": [Q], "chosen": [A], "rejected": [B]}, "preference"),
        ({"chosen": [Q, A], "rejected": [Q, B]}, "preference"),
        ({"prompt": "Why?", "messages": [Q, A], "chosen": [Q, A], "rejected": [Q, B], "score_chosen": 8.0}, "preference"),
        ({"chosen": "\n\nHuman: Why?\n\nAssistant: Because.", "rejected": "\n\nHuman: Why?\n\nAssistant: No reason."}, "hh-rlhf"),
        ({"prompt": "\n\nHuman: Why?\n\nAssistant:", "chosen": " Because.", "rejected": " No reason."}, "hh-rlhf"),
        (
            {"instruction": "Why?", "input": "", "output": "Because.", "chosen": "Because.", "rejected": "No reason."},
            "instruction-preference",
        ),
    ],
)
def test_every_preference_shape_gives_the_same_row(load, row: dict[str, Any], name: str) -> None:
    loaded = load(row, kind="preference")
    assert (loaded.rows, loaded.format, loaded.dropped) == ([PAIR], name, {})


def test_instruction_and_input_are_one_request(load) -> None:
    assert load({"instruction": "Sum up.", "input": "A long text.", "output": "Text."}).rows[0]["prompt"] == "Sum up.\n\nA long text."
    pair = load({"instruction": "Sum up.", "input": "A text.", "chosen": "Text.", "rejected": "No."}, kind="preference")
    assert pair.rows[0]["prompt"] == "Sum up.\n\nA text."


def test_one_conversation_makes_all_rows_conversations(load) -> None:
    rows = load({"messages": [Q, A, Q2, A2]}, {"messages": [Q, A], "topic": "religion"}, {"messages": [SYSTEM, Q, A]}).rows
    assert rows == [{"messages": [Q, A, Q2, A2]}, {"messages": [Q, A], "topic": "religion"}, {"messages": [SYSTEM, Q, A]}]


def test_one_long_prompt_makes_all_prompts_lists(load) -> None:
    long = {"chosen": [Q, A, Q2, A2], "rejected": [Q, A, Q2, B]}
    rows = load(long, {"chosen": [Q, A], "rejected": [Q, B]}, kind="preference").rows
    assert rows == [
        {"prompt": [Q, A, Q2], "chosen": "Yes.", "rejected": "No reason."},
        {"prompt": [Q], "chosen": "Because.", "rejected": "No reason."},
    ]


def test_transcripts_share_their_prompt(load) -> None:
    start = "\n\nHuman: Why?\n\nAssistant: Because.\n\nHuman: Really? Human: no.\n\nAssistant:"
    rows = load({"chosen": f"{start} Yes.\n\nI am sure.", "rejected": f"{start} No."}, kind="preference").rows
    prompt = [Q, A, {"role": "user", "content": "Really? Human: no."}]
    assert rows == [{"prompt": prompt, "chosen": "Yes.\n\nI am sure.", "rejected": "No."}]


def test_columns_are_renamed(load) -> None:
    row = {"query": "Why?", "reply": "Because.", "prompt": "not this one"}
    assert load(row, columns={"prompt": "query", "response": "reply"}).rows == [SFT]


def test_topic_is_kept_and_blank_topics_are_none(load) -> None:
    rows = load({**SFT, "topic": "religion"}, {**SFT, "topic": " "}, {**SFT, "topic": None}, {**SFT, "topic": 3}).rows
    assert [row.get("topic") for row in rows] == ["religion", None, None, None]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"messages": []}, "no messages"),
        ({"messages": [SYSTEM]}, "no messages"),
        ({"messages": [Q]}, "no answer at the end"),
        ({"messages": [Q, A, Q2]}, "no answer at the end"),
        ({"messages": [A]}, "user and assistant do not take turns"),
        ({"messages": [Q, Q2, A]}, "user and assistant do not take turns"),
        ({"messages": [Q, {"role": "assistant", "content": " \n"}]}, "empty response"),
        ({"messages": [{"role": "user", "content": "\t"}, A]}, "empty prompt"),
        ({"messages": [Q, {"role": "assistant", "content": ""}, Q2, A2]}, "empty message"),
        ({"messages": [Q, {"role": "tool", "content": "{}"}, A]}, "has a tool message"),
        ({"messages": [Q, {"role": "assistant", "content": "Be\0cause."}]}, "NUL character"),
        ({"messages": [Q, {"role": "assistant", "content": "Be\ud83dcause."}]}, "half a surrogate pair (not valid Unicode)"),
    ],
)
def test_answers_that_cannot_be_learnt_are_left_out_and_counted(load, bad: dict[str, Any], reason: str) -> None:
    loaded = load({"messages": [Q, A]}, bad, bad)
    assert (loaded.rows, loaded.dropped) == ([SFT], {reason: 2})
    assert loaded.describe() == f"1 rows (messages); left out 2 ({reason}: 2)"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"chosen": [Q, A], "rejected": [Q, A]}, "chosen and rejected are the same"),
        ({"chosen": [Q, A], "rejected": [Q, {"role": "assistant", "content": " Because.\n"}]}, "chosen and rejected are the same"),
        ({"chosen": [Q, A], "rejected": [Q2, A2]}, "chosen and rejected differ before the last answer"),
        ({"chosen": [Q, A, Q2, A2], "rejected": [Q, B]}, "chosen and rejected differ before the last answer"),
        ({"chosen": [Q, A], "rejected": [Q, {"role": "assistant", "content": ""}]}, "empty rejected"),
        ({"chosen": [Q, {"role": "assistant", "content": " "}], "rejected": [Q, A]}, "empty chosen"),
    ],
)
def test_pairs_that_teach_nothing_are_left_out_and_counted(load, bad: dict[str, Any], reason: str) -> None:
    loaded = load({"chosen": [Q, A], "rejected": [Q, B]}, bad, kind="preference")
    assert (loaded.rows, loaded.dropped) == ([PAIR], {reason: 1})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "Why?", "response": None}, r"line 2: `response` is null \(a string\)"),
        ({"prompt": "Why?", "response": 7}, r"line 2: `response` holds int '7'"),
        ({"prompt": "Why?", "response": {"text": "x"}}, r"line 2: `response` holds dict"),
        ({"prompt": "Why?", "anwser": "x"}, r"line 2: has no `completion`.*columns here: prompt, anwser|line 2: has no `response`"),
    ],
)
def test_a_field_that_is_no_string_is_named(load, row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(SFT, row, max_left_out=0)
    assert len(load(SFT, row).rows) == 1


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        (None, r"`messages` is null"),
        ("Why?", r"`messages` holds str"),
        ([Q, "Because."], r"`messages`, message 2 is no message"),
        ([Q, {"role": "wizard", "content": "x"}], r"`messages`, message 2 has the unknown role 'wizard' \(known: system"),
        ([Q, {"role": "assistant", "content": None}], r"`messages`, message 2, content is null"),
        ([{"role": "user", "content": [{"text": "Why?"}]}, A], r"message 1, content holds list"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, A], r"has a part that is no text \(image_url\)"),
    ],
)
def test_a_broken_message_is_named(load, messages: Any, message: str) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl, line 2: .*" + message):
        load({"messages": [Q, A]}, {"messages": messages}, max_left_out=0)
    assert load({"messages": [Q, A]}, {"messages": messages}).rows == [SFT]


def test_unknown_shape_lists_columns_and_shapes(load) -> None:
    with pytest.raises(DataError) as caught:
        load({"text": "Why? Because.", "id": 1})
    message = str(caught.value)
    assert "columns found: text, id" in message
    assert all(name in message for name in ("messages", "alpaca", "hh-rlhf", "instruction-preference"))


def test_pairs_are_not_silently_trained_on_as_answers(load) -> None:
    with pytest.raises(DataError, match=r"holds pairs .* in the shape 'preference', where single answers \(for `corpora`\) are needed"):
        load(PAIR)
    with pytest.raises(DataError, match=r"holds single answers .* where pairs of a chosen and a rejected answer"):
        load(SFT, kind="preference")


def test_answers_beside_pairs_are_taken_when_asked_for(load) -> None:
    row = {"instruction": "Why?", "output": "Because.", "chosen": "Because.", "rejected": "No reason."}
    with pytest.raises(DataError, match="give `format: alpaca`"):
        load(row)
    assert load(row, format="alpaca").rows == [SFT]


def test_a_format_that_does_not_fit_is_refused(load) -> None:
    with pytest.raises(DataError, match=r"not in the shape 'alpaca' .* \(this looks like prompt-completion\)"):
        load(SFT, format="alpaca")


def test_no_usable_row_is_an_error_with_reasons(load) -> None:
    with pytest.raises(DataError, match=r"not one of its 2 rows can be used \(empty response: 1; empty prompt: 1\)"):
        load({"prompt": "Why?", "response": " "}, {"prompt": "", "response": "Because."})
