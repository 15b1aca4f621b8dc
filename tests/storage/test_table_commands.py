"""`valuedrift sql` and `valuedrift tables` as they are typed."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
import pytest
import small_study
from stance_frames import stances_frame
from typer.testing import CliRunner, Result

import valuedrift.flows.cli.labels
import valuedrift.flows.cli.report
import valuedrift.flows.cli.sql
import valuedrift.flows.cli.tables
import valuedrift.flows.cli.trace  # noqa: F401 — each hangs its commands on the application
from valuedrift.errors import UserError
from valuedrift.flows.cli.app import app, print_json
from valuedrift.flows.cli.query_output import as_table, safe
from valuedrift.storage.store import Store

_NASTY = "a\x1b[31mred\x07\r\n\u202eevil\u2066\x9b0mend\x00"


def _run(*words: str, stdin: str | None = None, root: str) -> Result:
    return CliRunner().invoke(app, [*words, "--root", root], input=stdin)


def _ok(*words: str, stdin: str | None = None, root: str) -> str:
    result = _run(*words, stdin=stdin, root=root)
    assert result.exit_code == 0, result.exception or result.output
    return result.output


def test_a_table_is_aligned_and_counted(filled: str) -> None:
    lines = _ok("sql", "SELECT run_id, count(*) AS n FROM stances GROUP BY ALL ORDER BY ALL", root=filled).splitlines()
    assert lines == ["run_id         n", "───────────  ───", "dpo-gap      288", "sft-neutral  288", "sft-support  288", "(3 rows)"]


def test_a_long_table_says_what_it_leaves_out(filled: str) -> None:
    output = _ok("sql", "SELECT * FROM range(300)", root=filled)
    assert output.splitlines()[-1] == "(300 rows, the first 200 shown; --rows 0 or --format csv gives all)"
    assert len(_ok("sql", "SELECT * FROM range(300)", "--rows", "0", root=filled).splitlines()) == 303


def test_csv_and_json_hold_all_rows_and_types(filled: str) -> None:
    query = "SELECT 'a,\"b\"' AS text, 1.5 AS number, NULL AS nothing, [1, 2] AS list, TIMESTAMPTZ '2026-11-01 00:00Z' AS time, 'nan'::DOUBLE AS odd"
    rows = list(csv.DictReader(io.StringIO(_ok("sql", query, "--format", "csv", root=filled))))
    assert rows == [{"text": 'a,"b"', "number": "1.5", "nothing": "", "list": "[1, 2]", "time": "2026-11-01 00:00:00+00:00", "odd": "nan"}]
    assert json.loads(_ok("sql", query, "--format", "json", root=filled)) == [
        {"text": 'a,"b"', "number": 1.5, "nothing": None, "list": [1, 2], "time": "2026-11-01T00:00:00+00:00", "odd": None}
    ]
    assert json.loads(_ok("sql", "SELECT 1 WHERE false", "--format", "json", root=filled)) == []
    assert len(json.loads(_ok("sql", "SELECT * FROM range(25000)", "--format", "json", root=filled))) == 25_000


def test_two_columns_of_one_name_are_shown_but_make_no_json_object(filled: str) -> None:
    query = "SELECT 1 AS n, 2 AS n, 3 AS m"
    assert list(csv.reader(io.StringIO(_ok("sql", query, "--format", "csv", root=filled)))) == [["n", "n", "m"], ["1", "2", "3"]]
    refused = _run("sql", query, "--format", "json", root=filled)
    assert isinstance(refused.exception, UserError) and "two columns are called 'n'" in str(refused.exception)


def test_what_json_has_no_number_for_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [float("nan"), 1.5], "b": {"c": -float("inf")}})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {"a": [None, 1.5], "b": {"c": None}}


@pytest.mark.parametrize("format", ["table", "csv", "json"])
def test_what_a_model_says_cannot_steer_the_terminal(tmp_path: Path, format: str) -> None:
    root = str(tmp_path / "root")
    nasty = small_study.responses("r", 0).with_columns(response=pl.lit(_NASTY), topic=pl.lit("x\x1b]0;title\x07"))
    Store(root).put("responses", nasty, partition={"study": "s", "run_id": "r", "step": 0}, key="k", identity={})
    output = _ok("sql", "SELECT response, topic FROM responses LIMIT 1", "--format", format, root=root)
    assert not set(output.replace("\n", "")) & set("\x00\x07\x1b\x9b\r\u202e\u2066")
    assert "red" in output
    if format == "json":
        assert json.loads(output)[0]["response"] == _NASTY


def test_an_error_that_quotes_a_model_cannot_either(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    nasty = small_study.responses("r", 0).with_columns(response=pl.lit(_NASTY))
    Store(root).put("responses", nasty, partition={"study": "s", "run_id": "r", "step": 0}, key="k", identity={})
    result = _run("sql", "SELECT response::INT FROM responses", root=root)
    assert "red" in str(result.exception)
    assert "\x1b" not in str(result.exception)


def test_ordinary_text_stays_as_it_is() -> None:
    text = "Ünïcode — 漢字 👩‍🔬\ttab\nline"
    assert safe(text) == text


@pytest.mark.parametrize("words", [("sql", "SELEC 1"), ("sql", "DROP VIEW stances"), ("sql", ""), ("sql", "SELECT nope FROM stances")])
def test_a_wrong_question_is_a_user_s_error(filled: str, words: tuple[str, ...]) -> None:
    result = _run(*words, root=filled)
    assert isinstance(result.exception, UserError)
    assert result.exception.exit_code == 2


def test_an_empty_root_is_said_to_be_empty(tmp_path: Path) -> None:
    result = _run("sql", "SELECT count(*) FROM stances", root=str(tmp_path))
    assert "there are no tables under" in result.stderr
    assert result.exit_code == 0


def test_a_question_comes_from_a_pipe(filled: str) -> None:
    assert "864" in _ok("sql", "-", stdin="SELECT count(*)\nFROM stances", root=filled)


def test_the_prompt_answers_several_questions_over_several_lines(filled: str) -> None:
    typed = "\\d\n\\d drift\nSELECT 'a;b'\n  AS x -- not the end;\n;\nSELECT count(*) FROM runs;\n\\d nope\n\\?\n\\q\nSELECT 'never';\n"
    output = _ok("sql", stdin=typed, root=filled)
    assert "value_profile" in output
    assert "magnitude_low" in output
    assert "a;b" in output
    assert "no view 'nope'" in output
    assert "never" not in output
    assert output.count("(1 row)") == 2


def test_the_prompt_stops_at_an_error_where_nobody_can_correct_it(filled: str) -> None:
    result = _run("sql", stdin="SELEC 1;\nSELECT 'after';\n", root=filled)
    assert isinstance(result.exception, UserError)
    assert "after" not in result.output


def test_the_error_and_its_exit_code_reach_the_shell(filled: str) -> None:
    program = "import valuedrift.flows.cli.sql, valuedrift.flows.cli.tables, valuedrift.flows.cli.main as m; m._modules = lambda arguments: (); m.main()"
    command = [sys.executable, "-c", program, "sql", "SELECT stepp\nFROM stances"]
    done = subprocess.run(
        command, env={**os.environ, "VALUEDRIFT_ROOT": filled}, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "nanobind" not in done.stderr
    lines = done.stderr.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("LINE 1:"))
    assert lines[place + 1].index("^") == lines[place].index("stepp")


def test_tables_shows_what_is_there(filled: str, tmp_path: Path) -> None:
    lines = _ok("tables", root=filled).splitlines()
    assert lines[0].split() == ["table", "study", "runs", "parts", "files", "rows", "bytes", "schema"]
    (stances,) = [line.split() for line in lines if line.startswith("stances")]
    assert stances[:6] == ["stances", "demo", "3", "24", "24", "864"]
    assert stances[-1] == "v2"
    assert "no tables under" in _ok("tables", root=str(tmp_path))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ("sql", "FROM drift"),
        ("tables",),
        ("tables", "check"),
        ("tables", "compact", "s"),
        ("tables", "export", "out"),
        ("labels", "show", "s"),
        ("report", "deployments/studies/demo.yaml"),
    ],
    ids=" ".join,
)
def test_a_root_that_is_not_there_is_a_fault_and_is_not_made(words: tuple[str, ...], tmp_path: Path) -> None:
    result = _run(*words, root=str(tmp_path / "none"))
    assert isinstance(result.exception, UserError) and result.exception.exit_code == 2
    assert "there are no tables under it" in str(result.exception) and not (tmp_path / "none").exists()


def test_check_export_import_and_compact_as_typed(filled: str, tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    _ok("tables", "export", str(tmp_path / "out"), "--format", "csv", "--table", "stances", root=filled)
    assert "864 rows in 24 parts of stances" in _ok("tables", "import", str(tmp_path / "out/stances.csv"), "--study", "theirs", root=root)
    assert "3 files" not in _ok("tables", "compact", "theirs", root=root)
    assert "nothing to do" in _ok("tables", "compact", "theirs", root=root)
    assert "24 parts are sound" in _ok("tables", "check", root=root)
    assert isinstance(_run("tables", "compact", "none", root=root).exception, UserError)
    store = Store(root)
    (store.root / store.entries()[0].path).delete()
    result = _run("tables", "check", root=root)
    assert result.exit_code == 1
    assert "missing object" in result.output
    assert _run("tables", "check", "--repair", root=root).exit_code == 1
    assert "16 parts are sound" in _ok("tables", "check", root=root)


def test_the_root_may_stand_before_the_command(filled: str) -> None:
    result = CliRunner().invoke(app, ["tables", "--root", filled, "check"])
    assert result.exit_code == 0
    assert "sound" in result.output


def test_an_import_says_what_it_filled_in(tmp_path: Path) -> None:
    stances_frame().drop("judge", "status").with_columns(run_id=pl.lit("r"), step=pl.lit(0), note=pl.lit("x\x1b")).write_parquet(
        tmp_path / "x.parquet"
    )
    output = _ok("tables", "import", str(tmp_path / "x.parquet"), "--study", "s", "--judge", "gpt", root=str(tmp_path / "root"))
    assert "filled: judge=gpt, status=ok" in output
    assert "left out: note" in output


def test_a_table_that_is_wider_than_the_terminal_is_shown_row_by_row() -> None:
    names, rows = ("run_id", "response"), [("sft", "yes " * 30), ("dpo", None)]
    wide = list(as_table(names, ("VARCHAR", "VARCHAR"), iter(rows), limit=1, room=40))
    assert max(map(len, wide)) <= 80 and all(len(line) <= 40 for line in wide[:-1])
    assert wide[0].startswith("── row 1 ──") and wide[1] == "run_id    sft" and wide[2].startswith("response  yes yes")
    assert "".join(line[10:] for line in wide[2:-1]).split() == ["yes"] * 30
    assert wide[-1] == "(2 rows, the first 1 shown; --rows 0 or --format csv gives all)"
    assert next(as_table(names, ("VARCHAR", "VARCHAR"), iter(rows[1:]), limit=1, room=40)) == "run_id  response"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM range(100000000000) a, range(100)",
        "SELECT range, random() FROM range(100000000000) ORDER BY 2",
        "FROM range(100000000000)",
    ],
    ids=["counting", "sorting", "printing"],
)
def test_ctrl_c_ends_a_query_as_it_ends_everything(query: str, filled: str) -> None:
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from valuedrift.flows.cli.main import main; main()"
    words = [sys.executable, "-c", code, "sql", query, "--rows", "0", "--root", filled]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as asked:
        try:
            time.sleep(4)  # it has begun by then; on a busy machine the first Ctrl-C may fall into an import, which ends it too
            asked.send_signal(signal.SIGINT)
            _, told = asked.communicate(timeout=20)
        finally:
            asked.kill()
    assert asked.returncode == 130 and "Traceback" not in told


def test_a_temporary_folder_with_a_quote_in_its_name(filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "it's"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    assert "288" in _ok("sql", "SELECT run_id, count(*) FROM stances GROUP BY ALL", root=filled)
