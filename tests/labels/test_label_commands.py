"""``valuedrift labels`` as people use them, on a study in real tables."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import small_study

from valuedrift.storage.check_tables import check
from valuedrift.storage.store import Store


def valuedrift(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "valuedrift.flows.cli.main", *map(str, arguments), "--root", "root"]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labels")
    small_study.fill(Store(folder / "root"), made=False)
    return folder


def filled(sheet: Path, stance: dict[int, str]) -> list[dict[str, str]]:
    with sheet.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for number, row in enumerate(rows):
        row["stance"] = stance.get(number, "support")
    return rows


def write(rows: list[dict[str, str]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_from_the_draw_to_the_labels_and_back(place: Path) -> None:
    done = valuedrift("labels", "draw", "demo", "--judge", "cross-encoder", "--n", "30", "--out", "sheet.csv", cwd=place)
    assert done.returncode == 0, done.stderr
    first = (place / "sheet.csv").read_bytes()
    text = first.decode("utf-8-sig")
    assert text.splitlines()[0] == '"id","topic","prompt","response","stance"'
    assert not any(word in text for word in ("sft-neutral", "dpo-gap", "cross-encoder", "\x1b"))
    assert valuedrift("labels", "draw", "demo", "--judge", "cross-encoder", "--n", "30", "--out", "again.csv", cwd=place).returncode == 0
    assert (place / "again.csv").read_bytes() == first
    store = Store(place / "root")
    drawn = store.read("label_draws", study="demo").filter(pl.col("judge") == "cross-encoder")  # beside the small study's made rows
    assert drawn.height == 30 and drawn["probability"].sum() > 0

    refused = valuedrift("labels", "draw", "demo", "--judge", "cross-encoder", "--out", "sheet.csv", cwd=place)
    assert refused.returncode == 2 and "there already" in refused.stderr

    rows = filled(place / "sheet.csv", {0: "", 1: "oppose", 2: "skip", 3: "refused"})
    write(rows[:-2], place / "anna.csv")
    read = valuedrift("labels", "add", "demo", "anna.csv", "--labeller", "anna", "--json", cwd=place)
    assert read.returncode == 0, read.stderr
    found = json.loads(read.stdout)
    assert (found["read"], found["new"], found["changed"], found["empty"], found["absent"]) == (27, 27, 0, 1, 2)

    write([{**row, "stance": "neutral"} for row in rows[-4:]], place / "rest.csv")
    found = json.loads(valuedrift("labels", "add", "demo", "rest.csv", "--labeller", "anna", "--json", cwd=place).stdout)
    assert (found["new"], found["changed"], found["labelled"]) == (2, 2, 29)
    found = json.loads(
        valuedrift("labels", "add", "demo", "anna.csv", "--labeller", "ben", "--export", "gold.jsonl", "--json", cwd=place).stdout
    )
    assert found["labellers"] == {"anna": 29, "ben": 27}
    assert (found["agreement"]["n"], found["agreement"]["lacking"]) == (27, 2) and found["agreement"]["pairs"][0]["n"] == 27
    assert "anna and ben: same verdict on" in valuedrift("labels", "show", "demo", cwd=place).stdout
    gold = pl.read_ndjson(place / "gold.jsonl")
    assert gold.columns == ["prompt", "response", "stance"]
    assert (
        gold.height == found["stances"]["support"] + found["stances"]["neutral"] + found["stances"]["oppose"] + found["stances"]["refused"]
    )
    assert check(store) == []

    shown = valuedrift("judge", "validate", "--study", "demo", "--judge", "cross-encoder", "--json", cwd=place)
    assert shown.returncode == 0, shown.stderr
    figures = json.loads(shown.stdout)
    assert figures["n"] == gold.height and figures["name"] == "cross-encoder"
    assert {"log_loss", "log_loss_low"} <= figures.keys() and "precision_high" in figures["per_class"]["support"]
    drift = valuedrift("labels", "correct", "demo", "--judge", "cross-encoder", "--json", cwd=place)
    assert drift.returncode == 0, drift.stderr
    rows, notes = (json.loads(drift.stdout)[key] for key in ("rows", "notes"))
    assert rows or "not corrected" in notes[0]
    assert "answers with several labels: a correction counts each by its share" in notes[-1]
    assert "answers with several labels: a judge is measured on what most of them say" in figures["notes"][-1]
    assert all(row["magnitude_low"] <= row["magnitude"] <= row["magnitude_high"] and row["level"] == "study" for row in rows)
    refused = valuedrift("judge", "calibrate", "--study", "demo", "--judge", "cross-encoder", cwd=place)
    assert refused.returncode == 2 and "not those of one judge" in refused.stderr  # this study's stances do not say which judge made them
    assert not (place / "calibration.json").exists()


def test_wrong_rows_are_named_and_nothing_is_kept(place: Path) -> None:
    assert valuedrift("labels", "draw", "demo", "--judge", "causal-lm", "--n", "12", "--out", "other.csv", cwd=place).returncode == 0
    before = Store(place / "root").read("labels", study="demo").height
    rows = filled(place / "other.csv", {4: "yes"})
    rows[5]["id"] = "nobody"
    write(rows, place / "wrong.csv")
    done = valuedrift("labels", "add", "demo", "wrong.csv", cwd=place)
    assert done.returncode == 3
    assert "row 6: stance 'yes'" in done.stderr and "row 7: id 'nobody'" in done.stderr and "Traceback" not in done.stderr
    assert Store(place / "root").read("labels", study="demo").height == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("labels", "draw", "nowhere", "--out", "x.csv"), "there is no study 'nowhere'"),
        (("labels", "draw", "demo", "--out", "x.csv"), "several judges"),
        (("labels", "draw", "demo", "--judge", "oracle", "--out", "x.csv"), "no judge 'oracle'"),
        (("labels", "draw", "demo", "--judge", "causal-lm", "--out", "x.parquet"), "written as CSV"),
        (("labels", "add", "demo", "absent.csv"), "no such file"),
        (
            (
                "judge",
                "calibrate",
            ),
            "labels come from a file or from a study",
        ),
        (("judge", "calibrate", "x.csv", "--judge", "panel", "--set", "members=[a, b]"), "no calibration of its own"),
    ],
)
def test_faults(place: Path, arguments: tuple[str, ...], message: str) -> None:
    done = valuedrift(*arguments, cwd=place)
    assert done.returncode == 2 and message in done.stderr
    assert not (place / "x.csv").exists() and not (place / "x.parquet").exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("sample", "demo", "--judge", "oracle"), "labels draw"),
        (("labels", "demo"), "labels add"),
        (("labels", "demo", "absent.csv"), "labels add"),
        (("correct", "demo", "--judge", "oracle"), "labels correct"),
    ],
)
def test_the_names_of_the_version_before_still_work_and_hint_at_the_new_ones(place: Path, old: tuple[str, ...], new: str) -> None:
    done = valuedrift("judge", *old, cwd=place)
    assert f"note: `valuedrift judge {old[0]}` is now `valuedrift {new}" in done.stderr
    if len(old) == 2:
        assert done.returncode == 0 and "drawn answers are labelled" in done.stdout
    else:
        assert done.returncode == 2 and ("no judge 'oracle'" in done.stderr or "no such file" in done.stderr)
    assert old[0] not in valuedrift("judge", cwd=place).stdout.split()
