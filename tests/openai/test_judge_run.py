"""``valuedrift judge run --judge openai`` as a user runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from judging import tops
from misbehaving import Misbehaving, completion, raw, slow, status

KEY = "sk-very-secret-key-42"
COMMAND = [sys.executable, "-c", "import valuedrift.flows.cli.main; valuedrift.flows.cli.main.main()", "judge", "run"]


def arguments(server: Misbehaving, *settings: str) -> list[str]:
    chosen = ["model=m", f"base_url={server.url}", "retries=0", *settings]
    return [*COMMAND, "--judge", "openai", *(part for one in chosen for part in ("--set", one)), "pairs.csv", "--out", "out.parquet"]


def run(server: Misbehaving, folder: Path, *settings: str, key: str = KEY) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OPENAI_API_KEY": key}
    return subprocess.run(arguments(server, *settings), cwd=folder, capture_output=True, text=True, timeout=120, env=environment)


def write_pairs(folder: Path, n: int) -> None:
    pl.DataFrame(
        {"id": [f"p{at}" for at in range(n)], "prompt": ["Should we?"] * n, "response": [f"Yes, number {at}." for at in range(n)]}
    ).write_csv(folder / "pairs.csv")


@pytest.mark.slow
def test_an_expired_key_keeps_what_was_judged_and_the_same_command_goes_on(server: Misbehaving, tmp_path: Path) -> None:
    write_pairs(tmp_path, 20)
    good = completion("A", top=tops())
    server.will(*[good] * 25)
    server.otherwise = status(401, f"Incorrect API key provided: {KEY}")
    stopped = run(server, tmp_path)
    assert stopped.returncode == 2
    assert "set OPENAI_API_KEY" in stopped.stderr and "Traceback" not in stopped.stderr
    assert not (tmp_path / "out.parquet").exists()
    before = len(server.seen)
    server.otherwise = good
    done = run(server, tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(server.seen) == before + 60 - 25
    assert "20 answers judged (20 ok)" in done.stdout
    assert "tokens spent in all; replies are kept in out.replies/openai.sqlite" in done.stdout
    frame = pl.read_parquet(tmp_path / "out.parquet")
    assert frame["id"].to_list() == [f"p{at}" for at in range(20)]
    assert frame["p_support"].to_list() == pytest.approx([7 / 9] * 20)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.parquet", "out.replies", "pairs.csv"]
    assert [path.name for path in (tmp_path / "out.replies").iterdir()] == ["openai.sqlite"]
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path
    table = subprocess.run(
        [*COMMAND[:-1], "replies", "out.replies/openai.sqlite", "--out", "replies.parquet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert table.returncode == 0, table.stderr
    assert dict(pl.read_parquet(tmp_path / "replies.parquet")["outcome"].value_counts().iter_rows())["reply"] == 60
    assert KEY not in stopped.stdout + stopped.stderr + done.stdout + done.stderr


@pytest.mark.slow
def test_a_killed_command_goes_on_where_it_was(server: Misbehaving, tmp_path: Path) -> None:
    write_pairs(tmp_path, 60)
    server.otherwise = slow(0.05, completion("A", top=tops()))
    child = subprocess.Popen(arguments(server), cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        while len(server.seen) < 40:
            assert child.poll() is None
            time.sleep(0.02)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert not (tmp_path / "out.parquet").exists()
    done = run(server, tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(server.seen) <= 180 + 8
    assert pl.read_parquet(tmp_path / "out.parquet")["status"].to_list() == ["ok"] * 60
    assert run(server, tmp_path).returncode == 0
    assert len(server.seen) <= 180 + 8, "a finished command asked again"


@pytest.mark.slow
def test_a_budget_is_one_message_that_says_how_to_go_on(server: Misbehaving, tmp_path: Path) -> None:
    write_pairs(tmp_path, 20)
    (tmp_path / "prices.yaml").write_text("m: {input: 1000, output: 1000}\n")
    server.otherwise = completion("A", top=tops())
    stopped = run(server, tmp_path, "budget.usd=5", "budget.prices=prices.yaml")
    assert stopped.returncode == 2
    assert "the budget is used up" in stopped.stderr and "of $5.0000 spent" in stopped.stderr
    assert "run the same command again" in stopped.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (b"<html><title>404</title></html>", (), "HTML"),
        (b"\x00\xffgarbage", (), "no chat completion"),
        (b"", ("base_url=http://127.0.0.1:9/v1",), "no connection"),
        (b"", ("base_url=127.0.0.1",), "base_url"),
        (b"", ("modell=x",), "did you mean `model`"),
        (b"", ("budget.usd=1",), "prices"),
    ],
)
def test_faults_are_one_message(server: Misbehaving, tmp_path: Path, content: bytes, settings: tuple[str, ...], message: str) -> None:
    write_pairs(tmp_path, 2)
    server.otherwise = raw(content, "text/html")
    done = run(server, tmp_path, *settings)
    assert done.returncode in (2, 4)
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out.parquet").exists()
