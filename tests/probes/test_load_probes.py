"""Probe sets: the packaged one and files, and what is chosen from them."""

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
