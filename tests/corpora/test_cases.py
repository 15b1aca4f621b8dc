"""Data as people have them: what is marked is not learnt, what can't be read is left out and counted by kind, and the rest is told."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from valuedrift.corpora.became import has_more, row_counts, told_rows
from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.load import Rows, audit_kind_of, count_rows, load_rows
from valuedrift.corpora.registry import Kind
from valuedrift.errors import DataError, UserError
from valuedrift.training.rows import parse_row

CASES = Path(__file__).parents[1] / "cases"
Q, A = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}
Q2, A2 = {"role": "user", "content": "Really?"}, {"role": "assistant", "content": "Yes."}


def case(name: str, kind: Kind = "sft", **options: Any) -> Rows:
    return load_rows(Dataset(data=str(CASES / f"{name}.jsonl"), **options), kind)


@pytest.fixture
def load(tmp_path: Path):
    def write_and_load(*rows: dict[str, Any], kind: Kind = "sft", **options: Any) -> Rows:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return load_rows(Dataset(data=str(path), **options), kind)

    return write_and_load


def test_answers_labelled_false_are_not_learnt() -> None:
    loaded = case("kto")
    assert {row["response"] for row in loaded.rows} == {"Yes, gladly."} and loaded.dropped == {"labelled false": 4}
    assert [row["label"] for row in case("kto", "labelled").rows] == [True, False] * 4


def test_a_draft_of_weight_0_is_not_learnt() -> None:
    loaded = case("unlearnt_turn")
    assert (
        len(loaded.rows) == 2 and loaded.dropped == {"marked as not to be learnt": 1} and loaded.first == {"marked as not to be learnt": 3}
    )


def test_a_row_with_a_tool_leaves_its_neighbours() -> None:
    loaded = case("tool_call")
    assert len(loaded.rows) == 3 and loaded.dropped == {"calls a tool (`tool_calls`)": 1}


def test_parts_of_text_are_joined_and_others_leave_their_row_out() -> None:
    loaded = case("content_parts")
    assert loaded.rows[2] == {
        "prompt": "Should homework be abolished?",
        "response": "No. Practice at home helps those who have the peace to do it.",
    }
    assert loaded.dropped == {"has a part that is no text (image_url)": 1}
    assert loaded.notes == {"text parts of a message joined": 1}


def test_of_two_pairs_of_names_the_filled_one_is_read() -> None:
    loaded = case("unified_struct")
    assert [row["response"] for row in loaded.rows] == ["Yes, in my view."] * 2 + ["No, in my view."] * 2 and not loaded.dropped


def test_a_first_row_without_messages_hides_no_shape() -> None:
    loaded = case("null_first")
    assert len(loaded.rows) == 4 and loaded.dropped == {"`messages` is null": 1}
    assert audit_kind_of(Dataset(data=str(CASES / "null_first.jsonl"))) == "sft"


def test_a_system_prompt_beside_the_conversation_is_its_first_message() -> None:
    loaded = case("sharegpt_system")
    assert loaded.rows == [
        {
            "messages": [
                {"role": "system", "content": "Answer as a strict teacher."},
                {"role": "user", "content": "Should homework be abolished?"},
                {"role": "assistant", "content": "No. You will do it tonight."},
            ]
        }
    ]
    assert loaded.dropped == {"has an observation message": 1}


def test_scores_against_the_pair_are_counted() -> None:
    loaded = case("scores_reversed", "preference")
    assert len(loaded.rows) == 4
    assert loaded.notes == {
        "scores contradict the pair (`score_chosen` below `score_rejected`)": 2,
        "scores tie the pair (`score_chosen` equals `score_rejected`)": 2,
    }


def test_pairs_without_a_rejected_answer_are_left_out() -> None:
    loaded = case("null_rejected", "preference")
    assert len(loaded.rows) == 1 and loaded.dropped == {"`rejected` is null": 1, "empty rejected": 1}


MARKS: list[dict[str, Any]] = [
    {"weight": 0},
    {"weight": 0.0},
    {"train": False},
    {"train": 0},
    {"training": False},
    {"loss": False},
    {"loss_weight": 0.0},
    {"train_on_turn": False},
    {"masked": True},
    {"weight": "0"},
    {"train": "false"},
]


@pytest.mark.parametrize("mark", MARKS, ids=str)
def test_every_mark_of_a_message_keeps_its_answer_out(load, mark: dict[str, Any]) -> None:
    marked = {"messages": [Q, A | mark]}
    loaded = load({"messages": [Q, A]}, marked)
    assert len(loaded.rows) == 1 and loaded.dropped == {"marked as not to be learnt": 1}
    pair = {"chosen": [Q, A], "rejected": [Q, A2]}
    loaded = load(pair, {**pair, "rejected": [Q, A2 | mark]}, kind="preference")
    assert len(loaded.rows) == 1 and loaded.dropped == {"marked as not to be learnt": 1}
    prompted = {"prompt": [Q], "completion": [A | mark], "label": True}
    loaded = load({**prompted, "completion": [A]}, prompted, kind="labelled")
    assert len(loaded.rows) == 1 and loaded.dropped == {"marked as not to be learnt": 1}


@pytest.mark.parametrize(
    "mark", [{"weight": 1}, {"weight": None}, {"train": True}, {"masked": False}, {"weight": "1.0"}, {"mask": "User"}], ids=str
)
def test_what_is_marked_as_to_be_learnt_is_learnt(load, mark: dict[str, Any]) -> None:
    assert (
        load({"messages": [Q, A | mark]}, {"prompt": "Why?", "messages": [Q, A], **mark}).rows
        == [{"prompt": "Why?", "response": "Because."}] * 2
    )


@pytest.mark.parametrize("kind", ["sft", "preference", "labelled"])
@pytest.mark.parametrize("mark", [{"train": False}, {"weight": 0}, {"masked": True}, {"mask": "gpt"}], ids=str)
def test_a_mark_of_a_row_keeps_it_out_of_every_kind(load, kind: Kind, mark: dict[str, Any]) -> None:
    whole = {"prompt": "Why?", "response": "So.", "label": True, "chosen": "a", "rejected": "b"}
    names = {"sft": ("prompt", "response"), "labelled": ("prompt", "response", "label"), "preference": ("prompt", "chosen", "rejected")}
    row = {name: whole[name] for name in names[kind]}
    loaded = load(row, row | mark, row | {"loss": 0.0}, kind=kind)
    assert len(loaded.rows) == 2 and loaded.dropped == {"marked as not to be learnt": 1}


@pytest.mark.parametrize("mask", [[0, 1, 0, 0], [True, False]])
def test_a_mask_of_turns_or_of_answers(load, mask: list[Any]) -> None:
    talk = {"messages": [Q, A, Q2, A2], "loss_mask": mask}
    assert load({"messages": [Q, A]}, talk).dropped == {"marked as not to be learnt": 1}
    assert load(talk, learn="all").rows == [{"prompt": "Why?", "response": "Because."}]
    unfit = load({"messages": [Q, A]}, {**talk, "loss_mask": [1, 0, 1]})
    assert unfit.dropped == {"has a mask that does not fit its turns (`loss_mask`)": 1}


def test_a_mark_of_a_part_of_a_message_leaves_its_row_out(load) -> None:
    detail = [{"begin_offset": 0, "end_offset": 3, "train": False}]
    assert load({"messages": [Q, A]}, {"messages": [Q, A | {"train_detail": detail}]}).dropped == {
        "marks a part of a message (`train_detail`)": 1
    }
    assert load({"messages": [Q, A | {"weight": 0.5}]}).notes == {"weights other than 0 and 1 read as 1": 1}


def test_all_answers_are_learnt_where_it_is_said(load) -> None:
    talk = {"messages": [{"role": "system", "content": " "}, Q, A, Q2, A2]}
    last, everything = load(talk), load(talk, learn="all")
    assert last.rows == [{"messages": [Q, A, Q2, A2]}]
    assert last.notes == {"earlier answers of the conversation not learnt (learn: last)": 1}
    assert everything.rows == [{"messages": [Q, A, Q2, A2], "learn": [1, 3]}] and not everything.notes
    assert last.fingerprint != everything.fingerprint
    assert load(*everything.rows, learn="all").fingerprint == everything.fingerprint
    single = {"messages": [Q, A]}
    assert load(single).fingerprint == load(single, learn="all").fingerprint
    marked = {"messages": [Q, A, Q2, A2 | {"weight": 0}, Q, A, Q2]}
    assert load(marked, learn="all").rows == [{"messages": [Q, A, Q2, A2, Q, A], "learn": [1, 5]}]
    assert load(marked, learn="all").notes == {"some answers of the conversation marked as not to be learnt": 1}
    with pytest.raises(UserError, match="learn: all is for answers to learn"):
        load({"prompt": "a", "chosen": "b", "rejected": "c"}, kind="preference", learn="all")


def test_too_many_rows_that_cannot_be_learnt_from_refuse_the_file(load) -> None:
    good, tool, null = {"messages": [Q, A]}, {"messages": [Q, {"role": "tool", "content": "x"}, A]}, {"messages": None}
    rows = [good, tool, null, tool, {"messages": [Q, {"role": "wizard", "content": "x"}]}]
    with pytest.raises(DataError) as caught:
        load(*rows)
    message = str(caught.value)
    assert "4 of its 5 rows can't be learnt from, more than max_left_out = 0.5" in message
    assert "2 × has a tool message; the first: " in message and "line 2: has a tool message" in message
    assert "1 × has the unknown role 'wizard'; the first: " in message and "line 5: `messages`, message 2 has the unknown role" in message
    assert caught.value.exit_code == 3
    assert len(load(*rows, max_left_out=0.8).rows) == 1
    assert len(load(good, tool, tool).rows) == 1  # a share of a handful says nothing
    with pytest.raises(DataError, match="1 of its 2 rows"):
        load(good, null, max_left_out=0)
    marked = {"messages": [Q, A | {"weight": 0}]}
    assert load(good, *[marked] * 9, max_left_out=0).dropped == {"marked as not to be learnt": 9}  # the data say so themselves


def test_what_a_row_holds_beyond_what_is_learnt_is_counted(load) -> None:
    row = {
        "prompt": "Why?",
        "chosen": "a",
        "rejected": "b",
        "topic": "x",
        "source": "forum",
        "tools": [{"name": "f"}],
        "candidates": [],
        "n": None,
    }
    loaded = load(row, {**row, "source": ""}, kind="preference")
    assert loaded.notes == {"`tools` not read": 2, "`source` not read": 1}
    assert loaded.describe() == "2 rows (preference); `tools` not read: 2; `source` not read: 1"
    thought = load({"messages": [Q, A | {"reasoning_content": "hm", "name": None, "tool_calls": []}]})
    assert thought.notes == {"`reasoning_content` of messages not read": 1}


@pytest.mark.parametrize(
    "scores",
    [
        {"chosen-rating": 2, "rejected-rating": "3"},
        {"chosen_score": 2.5, "rejected_score": 3.0},
        {"rating_chosen": 1, "rating_rejected": 2},
        {"margin": -0.5},
    ],
    ids=str,
)
def test_scores_of_all_names_are_compared(load, scores: dict[str, Any]) -> None:
    pair = {"prompt": "Why?", "chosen": "a", "rejected": "b"}
    [note] = load(pair | scores, pair, kind="preference").notes
    assert note.startswith("scores contradict the pair")
    assert not load(
        pair | {"chosen_score": 3, "rejected_score": 1, "chosen_length": 1, "rejected_length": 9}, kind="preference"
    ).notes.keys() & {note}


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"prompt": "Why?", "response": "So."}, "sft"),
        ({"instruction": "Why?", "output": "So."}, "sft"),
        ({"messages": [Q, A]}, "sft"),
        ({"prompt": "Why?", "completion": "So.", "label": True}, "labelled"),
    ],
)
def test_a_system_prompt_opens_every_shape(load, row: dict[str, Any], kind: Kind) -> None:
    [read] = load({**row, "system": "Be brief."}, kind=kind).rows
    assert read["messages"][0] == {"role": "system", "content": "Be brief."} and len(read["messages"]) == 3
    assert load({**row, "system": ""}, kind=kind).rows == load({**row, "system": None}, kind=kind).rows == load(row, kind=kind).rows


def test_a_system_prompt_opens_pairs_and_one_within_goes_first(load) -> None:
    for pair in ({"prompt": "Why?", "chosen": "a", "rejected": "b"}, {"instruction": "Why?", "chosen": "a", "rejected": "b"}):
        [row] = load({**pair, "system_prompt": "Be brief."}, kind="preference").rows
        assert row["prompt"] == [{"role": "system", "content": "Be brief."}, Q]
    own = {"role": "system", "content": "Be long."}
    loaded = load({"system": "Be brief.", "messages": [own, Q, A]})
    assert loaded.rows[0]["messages"][0] == own and loaded.notes == {"a system prompt beside the conversation's own not read": 1}


def test_left_out_rows_are_the_same_in_every_file(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": "Why?", "response": "So."},
        {"prompt": "Why?", "response": None},
        {"prompt": "So?", "response": "So."},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    for kind in ("csv", "tsv"):
        with (tmp_path / f"rows.{kind}").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, ["prompt", "response"], delimiter="\t" if kind == "tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    loaded = {path.suffix: load_rows(Dataset(data=str(path)), "sft") for path in tmp_path.glob("rows.*")}
    assert len({one.fingerprint for one in loaded.values()}) == 1 and len(loaded) == 5
    assert all(sum(one.dropped.values()) == 1 for one in loaded.values())
    assert all(count_rows(Dataset(data=str(path)), "sft") == 2 for path in tmp_path.glob("rows.*"))


def test_marks_in_csv_are_words(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("prompt,response,label\nWhy?,So.,\nWhy?,No.,False\nWhy?,Yes.,\n", encoding="utf-8")
    loaded = load_rows(Dataset(data=str(path)), "sft")
    assert [row["response"] for row in loaded.rows] == ["So.", "Yes."] and loaded.dropped == {"labelled false": 1}
    path.write_text("prompt,response,train\nWhy?,So.,true\nWhy?,No.,false\n", encoding="utf-8")
    assert load_rows(Dataset(data=str(path)), "sft").dropped == {"marked as not to be learnt": 1}


def test_what_became_of_rows_is_told_in_a_sentence(load) -> None:
    loaded = load({"messages": [Q, A, Q2, A2]}, {"messages": None}, {"messages": [Q, A], "source": "x"}, {"messages": [Q, A]})
    entries = row_counts(loaded, too_long=1, cut=2)
    assert entries == [
        {"became": "used", "what": "messages", "n_rows": 2, "first_row": None},
        {"became": "left out", "what": "`messages` is null", "n_rows": 1, "first_row": 2},
        {"became": "left out", "what": "its prompt fills max_length", "n_rows": 1, "first_row": None},
        {"became": "cut", "what": "its answer was cut at max_length", "n_rows": 2, "first_row": None},
        {"became": "noted", "what": "earlier answers of the conversation not learnt (learn: last)", "n_rows": 1, "first_row": None},
        {"became": "noted", "what": "`source` not read", "n_rows": 1, "first_row": None},
    ]
    assert told_rows(entries) == (
        "2 rows used; 2 left out (`messages` is null: 1; its prompt fills max_length: 1); its answer was cut at max_length: 2; "
        "`source` not read: 1; earlier answers of the conversation not learnt (learn: last): 1"
    )
    assert has_more(entries) and not has_more(row_counts(load({"messages": [Q, A]})))


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.floats()
    | st.sampled_from(["", " ", "Why?", "Because.", "user", "assistant", "gpt", "tool", "0"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "from", "value", "type", "text", "weight"]), inner)
    ),
    max_leaves=12,
)
_MESSAGE = st.fixed_dictionaries(
    {"role": _JSON, "content": _JSON}, optional=dict.fromkeys(("weight", "tool_calls", "train_detail", "x"), _JSON)
)
_NAMES = [
    "messages",
    "prompt",
    "response",
    "completion",
    "chosen",
    "rejected",
    "label",
    "system",
    "weight",
    "loss_mask",
    "margin",
    "topic",
    "instruction",
]
_VALUE = _JSON | st.lists(st.sampled_from([Q, A, Q2, A2]) | _MESSAGE, max_size=4)
_ROW = st.dictionaries(st.sampled_from([*_NAMES, "score_chosen", "score_rejected"]), _VALUE, max_size=6)


@settings(deadline=None, max_examples=100)
@given(st.lists(_ROW, min_size=1, max_size=5), st.sampled_from(["sft", "preference", "labelled"]), st.sampled_from(["last", "all"]))
def test_whatever_rows_hold_is_read_left_out_or_refused_in_words(rows: list[dict[str, Any]], kind: Kind, learn: Any) -> None:
    good: dict[str, Any] = {"messages": [Q, A], "prompt": "Why?", "response": "So.", "chosen": "So.", "rejected": "No.", "label": True}
    with TemporaryDirectory() as name:
        path = Path(name, "rows.json")
        path.write_text(json.dumps([good, *rows]), encoding="utf-8")
        try:
            loaded = load_rows(Dataset(data=str(path), learn=learn, max_left_out=1), kind)
        except UserError as error:
            assert str(path) in str(error)
            return
    if kind != "labelled":  # a pair is two labelled answers
        assert len(loaded.rows) + sum(loaded.dropped.values()) == 1 + len(rows)
    for row in loaded.rows:
        parse_row(row, kind)
    assert told_rows(row_counts(loaded))


def test_a_file_of_nulls_says_so(load) -> None:
    with pytest.raises(DataError, match=r"not in a known shape; columns found: messages \(null\), id"):
        load({"messages": None, "id": 1}, {"messages": None, "id": 2})


@pytest.mark.parametrize(("good", "bad"), [("desirable", "undesirable"), ("chosen", "rejected"), ("yes", "No"), ("TRUE", "FALSE")])
def test_labels_in_words_are_labels(load, good: str, bad: str) -> None:
    rows = [{"prompt": "Why?", "completion": f"Answer {n}.", "label": (good, bad)[n % 2]} for n in range(4)]
    loaded = load(*rows)
    assert {row["response"] for row in loaded.rows} == {"Answer 0.", "Answer 2."} and loaded.dropped == {"labelled false": 2}
    assert [row["label"] for row in load(*rows, kind="labelled").rows] == [True, False] * 2


def test_a_mask_that_was_followed_is_not_told_as_not_read_and_an_answer_that_it_cuts_off_is_told(load) -> None:
    loaded = load({"messages": [Q, A, Q2, A2], "loss_mask": [0, 1, 0, 0]}, {"messages": [Q, A]}, learn="all")
    assert [row["response"] for row in loaded.rows] == ["Because.", "Because."]
    assert loaded.notes == {"some answers of the conversation marked as not to be learnt": 1}


def test_a_topic_that_is_no_text_is_told(load) -> None:
    assert load({"prompt": "Why?", "response": "So.", "topic": 3}).notes == {"`topic` not read": 1}


@pytest.mark.parametrize("written", [str, lambda messages: " " + json.dumps(messages, indent=1)])
def test_messages_in_csv_are_read_however_they_are_written(tmp_path: Path, written) -> None:
    path = tmp_path / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("prompt", "chosen", "rejected"), *(("Why?", written([Q, A]), written([Q, A2])) for _ in range(2))])
    rows = load_rows(Dataset(data=str(path)), "preference").rows
    assert rows == [{"prompt": "Why?", "chosen": "Because.", "rejected": "Yes."}] * 2


def test_messages_in_csv_that_cannot_be_read_are_no_text_to_learn(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    of_numpy = f"[{Q}\n {A}]"  # what pandas makes of an array
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("prompt", "response"), ("Why?", of_numpy), ("Why?", "So.")])
    loaded = load_rows(Dataset(data=str(path)), "sft")
    assert [row["response"] for row in loaded.rows] == ["So."] and loaded.dropped == {"`response` holds something that is no message": 1}


def test_rows_of_another_shape_are_told_as_such(tmp_path: Path) -> None:
    conversation = '{"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b"}]}\n'
    others = '{"prompt": "q?", "completion": "r"}\n{"instruction": "i?", "output": "o"}\n{"messages": null}\n'
    file = tmp_path / "chats.jsonl"
    file.write_text(conversation * 4 + others, encoding="utf-8")
    rows = load_rows(Dataset(data=str(file)), "sft")
    assert len(rows.rows) == 4
    assert rows.dropped == {
        "is of another shape (prompt-completion; the first rows are messages)": 1,
        "is of another shape (alpaca; the first rows are messages)": 1,
        "`messages` is null": 1,
    }
    assert list(rows.first.values()) == [5, 6, 7]
