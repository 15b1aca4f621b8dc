"""``valuedrift probes build`` from file to probe set, with the real embedded models and a real Prefect server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from valuedrift.probes import load_probes
from valuedrift.probes.vprism.embed import Encoder
from valuedrift.storage.location import Location
from valuedrift.storage.schemas import table_schema
from valuedrift.storage.store import Store

pytestmark = pytest.mark.slow
_COLUMNS = [*table_schema("probes").polars]


def _build(folder: Path, source: Path | str, *options: str, column: str = "user_prompt") -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "valuedrift.flows.cli.main",
        "probes",
        "build",
        "--source",
        str(source),
        "--column",
        column,
        "--root",
        str(folder / "root"),
    ]
    environment = {**os.environ, "PREFECT_HOME": str(folder / "prefect")}
    return subprocess.run(
        [*command, "--out", str(folder / "set.parquet"), *options], capture_output=True, text=True, env=environment, timeout=500
    )


def test_probes_of_a_slice_of_prism(shared_data: Path, tmp_path: Path, s3_root: str) -> None:
    whole = pl.read_csv(shared_data / "prism/issuebench_prism_prompts.csv", infer_schema=False)
    odd = pl.DataFrame(
        {"id": ["nul", "rtl", "long"], "user_prompt": ["Is \0 war wrong", "هل الحرب عادلة؟", "a" * 10_000_000], "n_duplicates": ["1"] * 3}
    )
    source = tmp_path / "slice.jsonl"
    pl.concat([whole.head(1500), odd]).write_ndjson(source)
    options = ("--id-column", "id", "--topics", "3", "--per-topic", "5", "--decisions", str(tmp_path / "why.parquet"))
    done = _build(tmp_path, source, *options)
    assert done.returncode == 0, done.stderr
    probes, decisions = pl.read_parquet(tmp_path / "set.parquet"), pl.read_parquet(tmp_path / "why.parquet")
    assert probes.columns == _COLUMNS and probes.group_by("topic").len().get_column("len").to_list() == [5] * 3
    assert probes.get_column("prompt").str.ends_with("?").all()
    rows = Encoder().encode(probes.get_column("prompt").to_list())
    cosines = rows @ rows.T
    cosines[range(15), range(15)] = 0
    assert cosines.max() <= 0.9
    assert decisions.height == 1503 and decisions.filter("kept").height == 15
    assert set(decisions.filter("kept").get_column("source_id")) == set(probes.get_column("prompt_id"))
    assert decisions.filter(pl.col("reason") == "").height == 0
    assert len(load_probes(str(tmp_path / "set.parquet"))) == 15
    before = [entry.written for entry in Store(tmp_path / "root").entries("probes")]
    far = Location.parse(f"{s3_root}/{source.name}")
    far.put_bytes(source.read_bytes())
    again = _build(tmp_path, far.uri, *options[:-1], far.beside("why.parquet").uri, "--out", far.beside("set.parquet").uri)
    assert "nothing to do" in again.stdout and [entry.written for entry in Store(tmp_path / "root").entries("probes")] == before
    for name in ("set.parquet", "why.parquet"):
        assert far.beside(name).read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize(
    ("content", "column", "message"),
    [
        ("", "prompt", "the file is empty"),
        ("prompt\n", "prompt", "no prompts in it"),
        ("prompt,id\na,1\n", "prmpt", "did you mean 'prompt'"),
    ],
)
def test_bad_files_give_one_message_and_leave_nothing(tmp_path: Path, content: str, column: str, message: str) -> None:
    source = tmp_path / "prompts.csv"
    source.write_text(content)
    done = _build(tmp_path, source, column=column)
    assert done.returncode in (2, 3) and message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "set.parquet").exists()
