"""Probes that are asked with a system message or after other turns: read from every kind of file, kept in the table, put to every engine."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from misbehaving import Misbehaving

from valuedrift.engines.openai import OpenAIEngineConfig
from valuedrift.engines.prompting import prompt_tokens, render_prompt
from valuedrift.errors import DataError, UserError
from valuedrift.probes import Probe, load_probes, probes_fingerprint, probes_frame, same_texts
from valuedrift.sampling import Sampling
from valuedrift.synthesis.questions import of_probes

CASE = Path(__file__).parents[1] / "cases" / "probes_system.jsonl"
SYSTEM, FIRST, ANSWER, LAST = "Be brief.", "Are zoos kind?", "Some are.", "Should they close?"
TURNS = [{"role": "user", "content": FIRST}, {"role": "assistant", "content": ANSWER}]
WHOLE = [{"role": "system", "content": SYSTEM}, *TURNS, {"role": "user", "content": LAST}]
ROW = {"prompt_id": "a", "topic": "zoos"}
WAYS = {
    "messages": {**ROW, "messages": WHOLE},
    "prompt": {**ROW, "prompt": WHOLE},
    "system apart": {**ROW, "system": SYSTEM, "prompt": WHOLE[1:]},
    "turns apart": {**ROW, "system": SYSTEM, "turns": TURNS, "prompt": LAST},
}


def written(path: Path, rows: list[dict[str, object]]) -> str:
    """The rows in a file of the kind that its name says."""
    frame = pl.DataFrame(rows, strict=False)
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    elif path.suffix == ".csv":
        pl.DataFrame([{name: cell if isinstance(cell, str) else json.dumps(cell) for name, cell in row.items()} for row in rows]).write_csv(
            path
        )
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_a_system_message_is_kept_and_asked() -> None:
    probes = load_probes(str(CASE))
    assert [probe.system for probe in probes] == ["You are a dog owner."] * 2
    assert probes[0].asked.messages == [
        {"role": "system", "content": "You are a dog owner."},
        {"role": "user", "content": "Should dogs be on a lead?"},
    ]
    assert probes_frame(probes)["system"].to_list() == ["You are a dog owner."] * 2


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "csv"])
@pytest.mark.parametrize("way", WAYS)
def test_a_dialogue_is_read_from_every_file_however_it_is_written(tmp_path: Path, suffix: str, way: str) -> None:
    (probe,) = load_probes(written(tmp_path / f"probes.{suffix}", [WAYS[way]]))
    assert probe.asked.messages == WHOLE
    assert (probe.system, probe.prompt, json.loads(probe.turns or "")) == (SYSTEM, LAST, TURNS)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "csv"])
def test_the_table_comes_back_from_a_file(tmp_path: Path, suffix: str) -> None:
    probes = load_probes(written(tmp_path / "first.jsonl", [WAYS["messages"], {**ROW, "prompt_id": "b", "prompt": "Should cars go?"}]))
    frame = probes_frame(probes)
    path = tmp_path / f"again.{suffix}"
    {"parquet": frame.write_parquet, "csv": frame.write_csv, "jsonl": frame.write_ndjson}[suffix](path)
    assert load_probes(str(path)) == probes


def test_what_comes_before_a_question_is_its_identity_and_nothing_is_where_nothing_does(tmp_path: Path) -> None:
    plain = Probe("s", "a", "zoos", LAST, None, "a")
    assert probes_fingerprint([plain]) == "8dffada6cf7c8802d817"  # as version 0.2 made it
    prints = {probes_fingerprint(load_probes(written(tmp_path / f"{way}.jsonl", [row]))) for way, row in WAYS.items()}
    other = load_probes(written(tmp_path / "o.jsonl", [{**WAYS["messages"], "messages": WHOLE[1:]}]))
    assert len(prints) == 1
    assert len({*prints, probes_fingerprint(other), probes_fingerprint([plain])}) == 3


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"messages": "Hello"}, "`messages` is no dialogue"),
        ({"messages": [{"from": "human", "value": "Hello"}]}, "`messages` is no dialogue"),
        ({"messages": TURNS}, "no dialogue that ends with a question"),
        ({"messages": [TURNS[0], TURNS[0]]}, "no dialogue that ends with a question"),
        ({"messages": [*TURNS, {"role": "user", "content": " "}]}, "no dialogue that ends with a question"),
        ({"messages": [{"role": "system", "content": "Hm."}]}, "no dialogue that ends with a question"),
        ({"messages": WHOLE, "system": "Be rude."}, "beside another"),
        ({"messages": WHOLE, "prompt": "Should they?"}, "both `prompt` and `messages`"),
        ({"prompt": "Should they?", "turns": "[1"}, "`turns` is no dialogue"),
        ({"messages": None}, "prompt_id, topic or prompt is empty"),
        ({"prompt": LAST, "system": "Be kind.", "system_prompt": "Be rude."}, "beside another"),
    ],
)
def test_what_is_no_dialogue_is_refused_with_its_row(tmp_path: Path, row: dict[str, object], message: str) -> None:
    path = written(tmp_path / "probes.jsonl", [{**ROW, "prompt_id": "z", "prompt": "Should cars go?"}, {**ROW, **row}])
    with pytest.raises(DataError, match=message) as caught:
        load_probes(path)
    assert caught.value.where == f"{path}, row 2"


def test_parts_and_other_names_are_read_as_what_they_mean(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "Should zoos "}, {"type": "text", "text": "close?"}]
    rows = {
        "content": {"prompt": [{"role": "user", "content": parts}]},
        "prompt": {"prompt": parts},
        "one message": {"prompt": {"role": "user", "content": "Should zoos close?"}},
        "system_prompt": {"system_prompt": SYSTEM, "prompt": "Should zoos close?"},
        "developer": {"prompt": [{"role": "developer", "content": SYSTEM}, {"role": "user", "content": "Should zoos close?"}]},
    }
    path = tmp_path / "probes.jsonl"
    path.write_text("".join(json.dumps({**ROW, "prompt_id": name, **row}) + "\n" for name, row in rows.items()), encoding="utf-8")
    probes = load_probes(str(path))
    assert {probe.prompt for probe in probes} == {"Should zoos close?"}
    assert {probe.prompt_id for probe in probes if probe.system == SYSTEM} == {"system_prompt", "developer"}


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([], "`prompt` is no dialogue"),
        (["Should they?", "Why?"], "`prompt` is no dialogue"),
        ({"question": "Should they?"}, "`prompt` is no dialogue"),
        ([{"from": "human", "value": "Should they?"}], "`prompt` is no dialogue"),
        ([{"type": "text", "text": "This?"}, {"type": "image_url", "image_url": {}}], "a part that is no text"),
    ],
)
def test_lists_and_objects_are_not_asked_as_json(tmp_path: Path, prompt: object, message: str) -> None:
    path = tmp_path / "probes.jsonl"
    path.write_text(json.dumps({**ROW, "prompt": prompt}), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        load_probes(str(path))


@pytest.mark.parametrize("column", ["system", "system_prompt", "persona", "language"])
def test_a_list_is_no_text(tmp_path: Path, column: str) -> None:
    with pytest.raises(DataError, match=f"column {column} holds lists or objects, not text"):
        load_probes(written(tmp_path / "probes.jsonl", [{**ROW, "prompt": "Should they?", column: ["a"]}]))


@pytest.mark.parametrize("none", [[], None, ""])
def test_no_turns_are_none_however_they_are_written(tmp_path: Path, none: object) -> None:
    (probe,) = load_probes(written(tmp_path / "probes.jsonl", [{**ROW, "prompt": "Should they?", "turns": none}]))
    assert probe.turns is None and probe.before == ()


def test_a_prompt_that_looks_like_a_list_is_text(tmp_path: Path) -> None:
    (probe,) = load_probes(written(tmp_path / "probes.jsonl", [{**ROW, "prompt": "[{ Should } zoos close?"}]))
    assert (probe.prompt, probe.before) == ("[{ Should } zoos close?", ())


class Letters:
    """A tokenizer without a template, one token a character."""

    chat_template = None
    name_or_path = "letters"

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [ord(letter) for letter in text]}


def test_without_a_template_turns_stand_one_after_the_other() -> None:
    right = f"{SYSTEM}\n{FIRST}\nResponse: {ANSWER}\n{LAST}\nResponse:"
    assert render_prompt(Letters(), LAST, WHOLE[:-1]) == right
    assert "".join(map(chr, prompt_tokens(Letters(), LAST, WHOLE[:-1]))) == right


def test_a_template_that_takes_no_system_message_is_told_of() -> None:
    class Refusing(Letters):
        chat_template = "{{ messages }}"

        def apply_chat_template(self, messages: list[dict[str, str]], **_: object) -> str:
            from jinja2 import TemplateError

            raise TemplateError("System role not supported")

    with pytest.raises(UserError, match="fails on a system message and a user message: System role not supported"):
        render_prompt(Refusing(), LAST, WHOLE[:1])


def test_a_server_is_sent_the_whole_dialogue(server: Misbehaving, tmp_path: Path) -> None:
    (probe,) = load_probes(written(tmp_path / "probes.jsonl", [WAYS["messages"]]))
    with OpenAIEngineConfig(model="m", base_url=server.url).open(keep=tmp_path / "replies") as engine:
        engine.sample([probe.asked], Sampling(n=1, max_new_tokens=4))
    assert server.seen[-1].body["messages"] == WHOLE


def test_pairs_are_not_made_for_dialogues(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not after a system message"):
        of_probes(load_probes(str(CASE)))


def test_one_text_under_two_ids_is_told() -> None:
    probes = load_probes(str(CASE))
    assert same_texts(probes) is None
    twice = [Probe("s", name, "t", text, None, name) for name, text in (("a", "Why?"), ("b", "Why?"), ("c", "How?"))]
    assert same_texts(twice) == (
        "one text stands under several prompt ids, which count as prompts of their own, so intervals are too short: a and b (Why?)"
    )
    assert same_texts([twice[0], Probe("s", "b", "t", "Why?", None, "b", system="Be brief.")]) is None
