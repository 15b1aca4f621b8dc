"""Tables in files are read as they are written: no type is guessed, no row or column lost, no name taken for a pattern."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.load import load_rows
from valuedrift.errors import DataError, UserError
from valuedrift.probes import load_probes
from valuedrift.tabular import read_csv, read_frame, read_rows
from valuedrift.tabular.formats import csv_table

_cell = st.text(st.characters(exclude_characters="\0\r", exclude_categories=("Cs",)), max_size=12)
TYPES = """prompt_id,topic,prompt,polarity,pair_id
001,01,Should the old harbour be filled in?,1,007
1,1,Should the old harbour be kept as it is?,-1,007
1e2,01,Should the ferry be free of charge?,+1,7
100,1.0,Should passengers pay for the ferry?,-1,7
"""


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(_cell, _cell, _cell), min_size=1, max_size=6), st.sampled_from(",;\t"), st.booleans())
def test_csv_of_any_spreadsheet_is_read_as_it_was_written(rows: list[tuple[str, str, str]], separator: str, marked: bool) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b, or c; or d", "e"), *rows])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        path.write_text(out.getvalue(), encoding="utf-8-sig" if marked else "utf-8", newline="")
        assert [tuple(row.values.values()) for row in read_rows(path)] == rows
        assert read_frame(path, ["a"]).rows() == rows


def test_numbers_stay_as_written_and_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "probes.csv"
    path.write_text(TYPES, encoding="utf-8")
    probes = {probe.prompt_id: probe for probe in load_probes(str(path))}
    assert sorted(probes) == ["001", "1", "100", "1e2"]
    assert [probes[name].topic for name in ("001", "1", "100", "1e2")] == ["01", "1", "1.0", "01"]
    assert [probes[name].pair_id for name in ("001", "1", "100", "1e2")] == ["007", "007", "7", "7"]
    assert [probes[name].polarity for name in ("001", "1", "100", "1e2")] == [1, -1, -1, 1]


def test_numbers_of_json_are_told_apart_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "probes.jsonl"
    ids = ("1", "1.0", "9007199254740993", "0.5")
    path.write_text("".join(f'{{"prompt_id": {one}, "topic": {one}, "prompt": "Should it?", "pair_id": {one}}}\n' for one in ids))
    probes = load_probes(str(path))
    assert [(probe.prompt_id, probe.topic, probe.pair_id) for probe in probes] == [(one, one, one) for one in sorted(ids)]


def test_a_column_that_begins_late_is_kept(tmp_path: Path) -> None:
    rows = [{"prompt_id": f"p{n}", "topic": "town", "prompt": f"Should street {n} be closed?"} for n in range(250)]
    path = tmp_path / "probes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {**rows[0], "prompt_id": "last", "polarity": -1}]), encoding="utf-8")
    assert {probe.prompt_id: probe.polarity for probe in load_probes(str(path))}["last"] == -1


def test_json_values_keep_their_types_and_mixed_ones_become_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"text": 1, "whole": 1, "mixed": 1, "list": [1]}, {"text": 2.5, "whole": 2, "mixed": "b", "list": None}, {"text": True}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    frame = read_frame(path, ["text"])
    assert frame["text"].to_list() == ["1", "2.5", "true"]
    assert frame["whole"].to_list() == [1, 2, None]
    assert frame["mixed"].to_list() == ["1", "b", None]
    assert [row.values for row in read_rows(path)] == rows


@pytest.mark.parametrize("name", ["probes[1].csv", "probes*.csv", "pro?bes.csv", "probes[1].csv.gz"])
def test_a_name_is_no_pattern(tmp_path: Path, name: str) -> None:
    (tmp_path / "probes1.csv").write_text(TYPES, encoding="utf-8")
    content = TYPES.splitlines()[0] + "\nx,t,Why?,,\n"
    (tmp_path / name).write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    assert [probe.prompt_id for probe in load_probes(str(tmp_path / name))] == ["x"]


def test_a_parquet_name_is_no_pattern_either(tmp_path: Path) -> None:
    for name in ("a1.parquet", "a[1].parquet"):
        pl.DataFrame({"prompt": [name]}).write_parquet(tmp_path / name)
    assert read_frame(tmp_path / "a[1].parquet", ["prompt"]).rows() == [("a[1].parquet",)]


def test_semicolons_are_read_where_data_are_trained_on(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(
        '\ufeffprompt;completion\nShould it move?;"Yes; it is too small."\nShould it stay?;"No, ""never""."\n', encoding="utf-8"
    )
    assert load_rows(Dataset(data=str(path)), "sft").rows == [
        {"prompt": "Should it move?", "response": "Yes; it is too small."},
        {"prompt": "Should it stay?", "response": 'No, "never".'},
    ]


def test_rows_are_numbered_as_a_spreadsheet_has_them(tmp_path: Path) -> None:
    path = tmp_path / "sheet"
    path.write_text('id,said\na,"two\nlines"\n\nb\n', encoding="utf-8")
    table = read_csv(path)
    assert table.columns == ("id", "said")
    assert [(row.record, dict(row.values)) for row in table.rows] == [(2, {"id": "a", "said": "two\nlines"}), (3, {}), (4, {"id": "b"})]
    with pytest.raises(DataError, match="3 cells under 2 columns") as caught:
        path.write_text("id,said\na,b,c\n", encoding="utf-8")
        list(read_csv(path).rows)
    assert "row 1 (to line 2)" in str(caught.value)


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "gold.csv").write_text("prompt\na\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"no such file \(did you mean .*gold\.csv"):
        read_frame(tmp_path / "golf.csv", ["prompt"])


@pytest.mark.parametrize(
    ("name", "content", "right"),
    [
        ("rows.tsv", "prompt, or so\tresponse\nIs it?\tYes, it is.\n", {"prompt, or so": "Is it?", "response": "Yes, it is."}),
        ("rows.tsv.gz", "prompt\tresponse\nIs it?\tYes; no.\n", {"prompt": "Is it?", "response": "Yes; no."}),
        ("rows.csv", "prompt\tresponse\nIs it?\tYes.\n", {"prompt": "Is it?", "response": "Yes."}),
        ("rows.csv", "prompt;response, short\nIs it?;Yes.\n", {"prompt": "Is it?", "response, short": "Yes."}),
        ("rows.csv", "prompt,response; short\nIs it?,Yes.\n", {"prompt": "Is it?", "response; short": "Yes."}),
        ("rows.csv", 'prompt;response\r\n"Is it; now?";"1,5, or ""2,5"""\r\n', {"prompt": "Is it; now?", "response": '1,5, or "2,5"'}),
        ("rows.tsv", "prompt,response\nIs it?,Yes.\n", {"prompt": "Is it?", "response": "Yes."}),
        ("rows.csv", "prompt,response\nIs it?," + '"' + "long; " * 300_000 + '"\n', {"prompt": "Is it?", "response": "long; " * 300_000}),
    ],
)
def test_what_separates_cells_is_seen(tmp_path: Path, name: str, content: str, right: dict[str, str]) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    assert [dict(row.values) for row in read_rows(path)] == [right]


def test_a_spreadsheet_of_europe_is_read() -> None:
    rows = load_rows(Dataset(data=str(Path(__file__).parent / "cases" / "semicolons.csv")), "sft").rows
    assert [row["response"] for row in rows] == ["Yes; it is too small.", 'No, "never".']


@pytest.mark.parametrize("stated", ["sep=;\n", "sep=;\r\n", '"sep=;"\n', "SEP=;\n"])
def test_what_a_sheet_says_of_its_separator_is_no_row(tmp_path: Path, stated: str) -> None:
    file = tmp_path / "sheet.csv"
    file.write_text(f"{stated}prompt;response\na, b;c\nd;e, f\n", encoding="utf-8", newline="")
    rows = list(csv_table(file, False).rows)
    assert [dict(row.values) for row in rows] == [{"prompt": "a, b", "response": "c"}, {"prompt": "d", "response": "e, f"}]
    assert rows[-1].where.endswith("(to line 4)")
