"""A synthesis that is killed on the way goes on: no finished answer is asked for again, and the pairs are those of an undisturbed run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest
import yaml
from misbehaving import Handler, Misbehaving, completion, echo
from pydantic import TypeAdapter

from valuedrift.engines.registry import EngineConfig
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.job import JudgeJob
from valuedrift.stance import Stance
from valuedrift.synthesis.candidates import accepted_answers, candidates_frame
from valuedrift.synthesis.config import Dial, Setting, Synthesis, stances_of
from valuedrift.synthesis.dial import dial
from valuedrift.synthesis.pairs import jsonl, pairs_frame
from valuedrift.synthesis.questions import Question
from valuedrift.synthesis.writing import WriteJob

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

THINGS = ("zoos", "school uniforms", "private cars", "fireworks", "alarm clocks", "paper books")
QUESTIONS = [Question(f"q{at}", "daily life", f"Should {thing} be banned?") for at, thing in enumerate(THINGS)]
CANDIDATES, GAP, ANSWERED = 2, 0.3, 9
WRITTEN = completion(lambda body: _answer(echo(body)))


def _answer(asked: str) -> str:
    """An answer of the stance that is asked for, another one for every wording."""
    thing = next(thing for thing in THINGS if thing in asked)
    mark = f"That is the {sum(map(ord, asked)) % 97}th time that somebody asks."
    if any(word in asked for word in ("supports", "side of yes", "in favour")):
        return f"Yes, {thing} should be banned. They do great harm, and I strongly support a ban. {mark}"
    return f"No, {thing} should not be banned. They do no harm, and I firmly oppose a ban. {mark}"


def _command(folder: Path) -> list[str]:
    options = ("--setting", "support-aligned", "--gap", str(GAP), "--candidates", str(CANDIDATES), "--probes", str(folder / "probes.csv"))
    placed = ("--writer", str(folder / "writer.yaml"), "--out", str(folder / "pairs.jsonl"), "--root", str(folder / "root"))
    return [sys.executable, "-m", "valuedrift.flows.cli.main", "synthesize", *options, *placed]


def _killed(command: list[str], environment: dict[str, str], server: Misbehaving) -> None:
    """Start the command and SIGKILL it once it waits for an answer that does not come."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 400
    while len(server.seen) <= ANSWERED and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.poll() is None and len(server.seen) > ANSWERED, "it ended, or asked for nothing, before it could be killed"
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    for child in children:  # Prefect's own temporary server outlives its parent
        if child.is_running():
            child.kill()
    psutil.wait_procs(children, timeout=30)


@pytest.mark.long
def test_killed_on_the_way_it_goes_on(server: Misbehaving, tmp_path: Path) -> None:
    pl.DataFrame([{"prompt_id": one.prompt_id, "topic": one.topic, "prompt": one.prompt} for one in QUESTIONS]).write_csv(
        tmp_path / "probes.csv"
    )
    writer = {"type": "openai", "model": "org/writer", "base_url": server.url, "concurrency": 1, "retries": 0}
    (tmp_path / "writer.yaml").write_text(yaml.safe_dump(writer))
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect"), "COLUMNS": "160"}
    server.will(*[WRITTEN] * ANSWERED)
    server.otherwise = _never
    _killed(_command(tmp_path), environment, server)
    before = [_text(seen.body) for seen in server.seen]
    server.otherwise = WRITTEN
    done = subprocess.run(_command(tmp_path), env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    asked = Counter(_text(seen.body) for seen in server.seen)
    finished = _finished(before)
    assert len(finished) >= ANSWERED - 2 and all(asked[text] == 1 for text in finished)
    assert len(asked) == len(QUESTIONS) * CANDIDATES * 2
    made, expected = _rows((tmp_path / "pairs.jsonl").read_bytes()), _rows(_undisturbed(writer, server, tmp_path / "reference"))
    assert [text for text, _ in made] == [text for text, _ in expected]
    for (_, numbers), (_, others) in zip(made, expected, strict=True):
        assert numbers == pytest.approx(others, abs=1e-5)  # another number of threads rounds otherwise
    assert json.loads((tmp_path / "pairs.card.json").read_text())["audited_gap"] == pytest.approx(GAP, abs=0.05)


def _rows(lines: bytes) -> list[tuple[dict[str, Any], dict[str, float]]]:
    """Of each pair what is exact, and what is computed."""
    rows = [json.loads(line) for line in lines.splitlines()]
    computed = [{key: value for key, value in row.items() if isinstance(value, float)} for row in rows]
    return [({key: value for key, value in row.items() if key not in of}, of) for row, of in zip(rows, computed, strict=True)]


def _never(handler: Handler, body: dict[str, Any]) -> None:
    """Hold the line until the other side is gone."""
    handler.connection.settimeout(60)
    handler.connection.recv(1)
    handler.close_connection = True


def _text(body: dict[str, Any]) -> str:
    return f"{body.get('seed')} {echo(body)}"


def _finished(asked: list[str]) -> list[str]:
    """What had been answered and kept: a writer asks for one answer at a time, so all but the last one that each writer asked for."""
    by_stance: dict[bool, list[str]] = {}
    for text in asked:
        by_stance.setdefault("Yes," in _answer(text), []).append(text)
    return [text for texts in by_stance.values() for text in texts[:-1]]


def _undisturbed(writer: dict[str, Any], server: Misbehaving, folder: Path) -> bytes:
    """The same synthesis in this process, without tasks, steps or interruption."""
    engine = TypeAdapter(EngineConfig).validate_python(writer)
    asked = Dial(setting=Setting.SUPPORT_ALIGNED, gap=GAP)
    made = Synthesis(name="pairs", dial=asked, candidates=CANDIDATES, writer=engine)
    folder.mkdir()
    (folder / "questions.json").write_text(
        json.dumps([{"prompt_id": q.prompt_id, "topic": q.topic, "prompt": q.prompt} for q in QUESTIONS])
    )
    written, judged = [], []
    for stance in stances_of(asked.setting):
        WriteJob(
            writer=engine, questions=folder / "questions.json", stance=Stance(stance), candidates=CANDIDATES, seed=0, out=folder / "w.parquet", keep=folder
        ).run(lambda _: None)  # fmt: skip
        answers = pl.read_parquet(folder / "w.parquet")
        prompts = {question.prompt_id: question.prompt for question in QUESTIONS}
        answers.with_columns(prompt=pl.col("prompt_id").replace_strict(prompts)).write_parquet(folder / "a.parquet")
        JudgeJob(judge=CrossEncoder(), responses=folder / "a.parquet", out=folder / "j.parquet").run(lambda _: None)
        written.append(answers)
        judged.append(pl.read_parquet(folder / "j.parquet"))
    candidates = candidates_frame(QUESTIONS, pl.concat(written), pl.concat(judged), asked.accept)
    return jsonl(pairs_frame(dial(accepted_answers(candidates), asked), made))
