"""The sheet: what a model wrote is never executed, what people wrote is read back, what is wrong is named."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuedrift.errors import DataError, UserError
from valuedrift.labels.sheet import MOST_CHARACTERS, read_sheet, safe_text, sheet_bytes

NASTY = [
    '=HYPERLINK("http://evil","click")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1,1)",
    "\t=1+1",
    "\r=1+1",
    "  =1+1",
    "\n=1+1",
    "＝1+1",
    "\u200f=1+1",
    "\x00=1+1",
    "|cmd",
]


@pytest.mark.parametrize("text", NASTY)
def test_formulas_are_defused(text: str) -> None:
    assert safe_text(text)[0] in "'\\"


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_no_cell_begins_as_a_formula(text: str) -> None:
    shown = safe_text(text)
    assert not shown.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))
    assert not any(ord(letter) < 32 and letter not in "\n\t" for letter in shown)
    assert safe_text(shown) == shown or shown.startswith("'")


def drawn(responses: list[str]) -> pl.DataFrame:
    ids = [f"id{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(len(responses))]
    return pl.DataFrame({"label_id": ids, "topic": "war", "prompt": "Should we?", "response": responses})


def test_the_sheet_is_whole_after_a_round_trip() -> None:
    texts = ['He said "no", twice;\nand left', "نعم 👍", "x" * 100_000, "", *NASTY]
    data = sheet_bytes(drawn(texts)).decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(data)))
    assert rows[0] == ["id", "topic", "prompt", "response", "stance"]
    assert len(rows) == len(texts) + 1 and {len(row) for row in rows} == {5}
    assert rows[1][3] == texts[0] and rows[2][3] == texts[1]
    assert len(rows[3][3]) < MOST_CHARACTERS + 100 and "40,000" not in rows[3][3] and "70,000 characters" in rows[3][3]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_what_people_fill_in_is_read(tmp_path: Path, separator: str, encoding: str) -> None:
    frame = drawn(["a", "b\nb", "c;c", "d", "e", "f"])
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator)
    writer.writerow(["ID", "prompt", "Stance ", "response"])
    said = ["Support", " oppose ", "", "skip", "REFUSED", "neutral"]
    for name, text, stance in zip(frame["label_id"], frame["response"], said, strict=True):
        writer.writerow([name, "Should we?", stance, text])
    path = tmp_path / "labels.csv"
    path.write_text(out.getvalue(), encoding=encoding, newline="")
    found = read_sheet(path, frame["label_id"])
    assert found.labels["stance"].to_list() == ["support", "oppose", "unclear", "refused", "neutral"]
    assert found.empty == 1 and len(found.seen) == 6


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("id,prompt\nidaa,x\n", "missing column stance"),
        ("stance\nsupport\n", "missing column id"),
        ("id,stance\nidaa,support\nidab,agree\n", "row 3: stance 'agree' is not one of"),
        ("id,stance\nidzz,support\n", "row 2: id 'idzz' was not drawn"),
        ("id,stance\n,support\n", "row 2: no id"),
        ("id,stance\nidaa,support\nidaa,oppose\n", "row 3: id 'idaa' is oppose here and support in row 2"),
        ("id,stance\nidaa,sup\x00port\n", "row 2: stance"),
    ],
)
def test_faults_are_named_with_their_row(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_sheet(path, drawn(["a", "b"])["label_id"])
    assert expected in str(caught.value)


def test_other_encodings_huge_cells_and_absent_files(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes("id,stance\nidaa,süpport\n".encode("latin-1"))
    with pytest.raises(DataError, match="UTF-8"):
        read_sheet(path, ["idaa"])
    path.write_text(f'id,response,stance\nidaa,"{"y" * 10_000_000}",support\n', encoding="utf-8")
    assert read_sheet(path, ["idaa"]).labels.height == 1
    with pytest.raises(UserError, match="no such file"):
        read_sheet(tmp_path / "absent.csv", ["idaa"])
