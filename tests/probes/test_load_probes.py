"""Probe sets: the packaged one and files, and what is chosen from them."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from valuedrift.errors import DataError, UserError
from valuedrift.probes import load_probes, probes_fingerprint, probes_frame
from valuedrift.starter import TOPICS


def test_the_starter_set_has_both_polarities_of_every_pair() -> None:
    probes = load_probes("starter")
    assert len({probe.prompt_id for probe in probes}) == len(probes) == 550
    polarities: dict[str, set[int | None]] = {}
    for probe in probes:
        polarities.setdefault(probe.pair_id, set()).add(probe.polarity)
    assert all(found == {1, -1} for found in polarities.values()) and len(polarities) == 275
    assert [(probe.topic, probe.prompt_id) for probe in probes] == sorted((probe.topic, probe.prompt_id) for probe in probes)


@pytest.mark.parametrize("count", [2, 4, 10, 50, 99])
def test_a_choice_takes_whole_pairs_and_nests(count: int) -> None:
    chosen = load_probes("starter", per_topic=count)
    assert Counter(probe.topic for probe in chosen) == dict.fromkeys(TOPICS.values(), min(count, 50))
    assert set(Counter(probe.pair_id for probe in chosen).values()) == {2}
    assert {probe.prompt_id for probe in chosen} <= {probe.prompt_id for probe in load_probes("starter", per_topic=count + 2)}


def test_topics_are_kept_by_name() -> None:
    probes = load_probes("starter", topics=["religion", "abortion"], per_topic=2)
    assert [probe.topic for probe in probes] == ["abortion", "abortion", "religion", "religion"]
    with pytest.raises(UserError, match=r"no topic 'relijion' .*did you mean 'religion'\?"):
        load_probes("starter", topics=["relijion"])


def test_the_fingerprint_is_of_what_is_asked() -> None:
    probes = load_probes("starter", per_topic=2)
    assert probes_fingerprint(probes[::-1]) == probes_fingerprint(probes)
    assert probes_fingerprint([replace(probe, source="elsewhere") for probe in probes]) == probes_fingerprint(probes)
    for change in ({"prompt": "Why?"}, {"polarity": None}, {"topic": "war"}, {"prompt_id": "x"}):
        assert probes_fingerprint([replace(probes[0], **change), *probes[1:]]) != probes_fingerprint(probes)
    assert probes_fingerprint(probes[1:]) != probes_fingerprint(probes)


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_a_probe_table_comes_back_from_every_file_format(tmp_path: Path, suffix: str) -> None:
    probes = load_probes("starter", per_topic=4)
    frame = probes_frame(probes)
    assert frame.schema["polarity"] == pl.Int8
    path = tmp_path / f"probes.{suffix}"
    {"parquet": frame.write_parquet, "csv": frame.write_csv, "jsonl": frame.write_ndjson}[suffix](path)
    assert load_probes(str(path)) == probes


def test_a_file_may_hold_only_questions(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("prompt_id,topic,prompt\na,war,Is war ever just?\n", encoding="utf-8")
    (probe,) = load_probes(str(path))
    assert (probe.probe_set, probe.polarity, probe.pair_id, probe.language) == ("mine", None, "a", "en")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("prompt_id,prompt\na,Why?\n", r"missing column topic \(found: prompt_id, prompt\)"),
        ("prompt_id,topic,prompt\n", "no probes in it"),
        ("", "unreadable"),
        ("prompt_id,topic,prompt\na,war,Why?\na,war,When?\n", "prompt_id occurs more than once: a"),
        ("prompt_id,topic,prompt,polarity\na,war,Why?,1\nb,war,When?,2\n", r"row 2: polarity is 2 \(1 "),
    ],
)
def test_a_file_that_is_no_probe_set_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "probes.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        load_probes(str(path))


def test_a_missing_or_unknown_file_is_refused(tmp_path: Path) -> None:
    for name, message in (("none.csv", "no such probe set"), ("probes.txt", "not a probe set")):
        with pytest.raises(UserError, match=message):
            load_probes(str(tmp_path / name))


COLUMNS = {"prompt_id": "No.", "topic": "Theme", "prompt": "Question", "polarity": "sign"}


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_columns_of_other_names_are_read_as_those_that_they_stand_for(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mine.{suffix}"
    frame = pl.DataFrame(
        {"No.": ["01", "1"], "Theme": ["war"] * 2, "Question": ["Is it just?", "Is it unjust?"], "sign": ["1", "-1"], "prompt": ["", "x"]}
    )
    {"parquet": frame.write_parquet, "csv": frame.write_csv, "jsonl": frame.write_ndjson}[suffix](path)
    plain = tmp_path / "there" / f"mine.{suffix}"
    plain.parent.mkdir()
    same = frame.select(pl.col(theirs).alias(name) for name, theirs in COLUMNS.items())
    {"parquet": same.write_parquet, "csv": same.write_csv, "jsonl": same.write_ndjson}[suffix](plain)
    probes = load_probes(str(path), columns=COLUMNS)
    assert [(probe.prompt_id, probe.prompt, probe.polarity) for probe in probes] == [("01", "Is it just?", 1), ("1", "Is it unjust?", -1)]
    assert probes == load_probes(str(plain))  # what is called so but is not what stands for it is left out


def test_one_column_may_stand_for_several(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("Question,topic\nIs it just?,war\n", encoding="utf-8")
    (probe,) = load_probes(str(path), columns={"prompt": "Question", "prompt_id": "Question"})
    assert (probe.prompt_id, probe.prompt) == ("Is it just?", "Is it just?")


def test_a_dialogue_may_stand_in_a_column_of_another_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Why?"}]
    path.write_text(json.dumps({"prompt_id": "a", "topic": "war", "chat": turns}) + "\n", encoding="utf-8")
    (probe,) = load_probes(str(path), columns={"messages": "chat"})
    assert [*probe.before, {"role": "user", "content": probe.prompt}] == turns


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"prompt": "Questoin"}, r"'Questoin' is no column in the data .*did you mean 'Question'\?"),
        ({"promt": "Question"}, r"'promt' is no column of probes .*did you mean 'prompt'\?"),
        ({"prompt": "topic"}, "missing column topic"),
    ],
)
def test_columns_that_are_not_there_are_refused(tmp_path: Path, columns: dict[str, str], message: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("prompt_id,Question,topic\na,Is it just?,war\n", encoding="utf-8")
    with pytest.raises(UserError, match=message):
        load_probes(str(path), columns=columns)


def test_the_packaged_probes_have_no_columns_to_rename() -> None:
    with pytest.raises(UserError, match="no columns to rename"):
        load_probes("starter", columns={"prompt": "question"})
