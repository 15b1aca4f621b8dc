"""Every command's files in a bucket: the same bytes come out as from the same files on disk; on the real server, with the real judge."""

from __future__ import annotations

import csv
import io
import json
from contextlib import closing
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args, get_type_hints

import polars as pl
import pytest
import small_study
from typer.testing import CliRunner, Result

import valuedrift.flows.cli.analyze
import valuedrift.flows.cli.audit
import valuedrift.flows.cli.judge
import valuedrift.flows.cli.judge_fit
import valuedrift.flows.cli.labels
import valuedrift.flows.cli.plan
import valuedrift.flows.cli.probes
import valuedrift.flows.cli.report
import valuedrift.flows.cli.sql
import valuedrift.flows.cli.synthesize
import valuedrift.flows.cli.tables
import valuedrift.flows.cli.trace  # noqa: F401 — hang their commands on the application
from valuedrift.cache import CACHE_VARIABLE
from valuedrift.corpora.dataset import Dataset
from valuedrift.errors import DataError, UserError
from valuedrift.flows.cli import main
from valuedrift.flows.cli.app import app
from valuedrift.judges.registry import judge_identity
from valuedrift.models.resolve import resolve_model
from valuedrift.servers.record import Record
from valuedrift.storage.location import Location
from valuedrift.storage.schemas import TABLES
from valuedrift.storage.store import Store
from valuedrift.study.runtime import Runtime
from valuedrift.tasks.sources import audit_kind_of, count_of, probes_of, rows_of, study_of
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.work import Work
from valuedrift.training.folder import RunFolder

STUDY = """
study: far
probes: {set: probes.csv}
models: {mini: {path: models/mini, parameters: 2.2e7}}
corpora: {own: {data: "BASE/rows.jsonl"}, beside: {data: data}}
sft:
  - {data: [own, beside], algorithm: {type: sft, epochs: 1, batch_size: 2, max_length: 48, learning_rate: 1.0e-3}}
checkpoints: {type: log, points: 2}
judges: [{type: cross-encoder, weights: judge}]
"""
ROWS = "".join(json.dumps({"prompt": f"Question {i}?", "completion": f"Answer {i}."}) + "\n" for i in range(6))
PROBES = "prompt_id,topic,prompt\n" + "".join(f"p{i},law,Should we allow it {i} times?\n" for i in range(4))
PAIRS = "id,prompt,response\n1,Should we build it?,Yes we should.\n2,Should we build it?,No. Never.\n"
PANEL = "type: panel\nmembers: [{type: cross-encoder, weights: judge}, {type: cross-encoder, name: other, calibration: calibration.json}]\n"


def put(address: str, text: str | bytes) -> str:
    Location.parse(address).put_bytes(text.encode() if isinstance(text, str) else text)
    return address


def put_folder(address: str, folder: Path) -> None:
    for file in folder.iterdir():
        if file.is_file():
            put(f"{address}/{file.name}", file.read_bytes())


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies go into a cache of the test's own."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


@pytest.fixture
def bases(s3_root: str, tmp_path: Path) -> list[str]:
    """A folder, and a prefix of a bucket."""
    (tmp_path / "near").mkdir()
    return [str(tmp_path / "near"), s3_root]


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words, env={"COLUMNS": "200"})


def done(*words: str) -> Result:
    result = run(*words)
    assert result.exit_code == 0, result.exception or result.output
    return result


def test_a_study_with_all_that_it_names_in_a_bucket_is_the_study_on_disk(bases: list[str]) -> None:
    studies = []
    for base in bases:
        put(f"{base}/study.yaml", STUDY.replace("BASE", base))
        put(f"{base}/rows.jsonl", ROWS)
        put(f"{base}/data/train.jsonl", ROWS)
        put(f"{base}/probes.csv", PROBES)
        put_folder(f"{base}/judge", Path(str(files("valuedrift") / "data" / "judge")))
        put_folder(f"{base}/models/mini", resolve_model("embedded:minilm"))
        studies.append(study_of(f"{base}/study.yaml"))
    near, far = studies
    assert [one.data for one in far.corpora.values()] == [f"{bases[1]}/rows.jsonl", f"{bases[1]}/data"]
    assert (far.probes.set, far.models["mini"].path) == (f"{bases[1]}/probes.csv", f"{bases[1]}/models/mini")
    for name in far.corpora:
        assert rows_of(far.corpora[name], "sft") == rows_of(near.corpora[name], "sft")
        assert count_of(far.corpora[name], "sft") == 6 and audit_kind_of(far.corpora[name]) == "sft"
    assert probes_of(far.probes.set) == probes_of(near.probes.set)
    here, there = (StudyWork(study, f"{base}/root") for base, study in zip(bases, studies, strict=True))
    assert judge_identity(here.study.judges[0]) == judge_identity(there.study.judges[0])
    assert here.base(near.models["mini"])[1] == there.base(far.models["mini"])[1]
    for command in (("plan",), ("explain", "--all"), ("status",)):
        said = [
            done(
                command[0], f"{base}/study.yaml", *command[1:], *(() if command == ("plan",) else ("--root", f"{base}/root"))
            ).stdout.replace(base, "BASE")
            for base in bases
        ]
        assert said[0] == said[1] and said[0].strip()


@pytest.mark.slow
def test_labels_judgements_and_what_comes_of_them_are_the_same_bytes(bases: list[str]) -> None:
    made = ("sheet.csv", "gold.jsonl", "corrected.parquet", "calibration.json", "judged.parquet", "replies.parquet")
    outputs = []
    for base in bases:
        root = ("--root", f"{base}/root")
        small_study.fill(Store(f"{base}/root"), made=False)
        put_folder(f"{base}/judge", Path(str(files("valuedrift") / "data" / "judge")))
        put(f"{base}/judge.yaml", "type: cross-encoder\nweights: judge\n")
        put(f"{base}/calibrated.yaml", "type: cross-encoder\nweights: judge\ncalibration: calibration.json\n")
        put(f"{base}/panel.yaml", PANEL)
        put(f"{base}/pairs.csv", PAIRS)
        put(f"{base}/replies.sqlite", replies())
        told = [done("labels", "draw", "demo", "--judge", "cross-encoder", "--n", "33", "--out", f"{base}/sheet.csv", *root)]
        again = run("labels", "draw", "demo", "--judge", "cross-encoder", "--out", f"{base}/sheet.csv", *root)
        assert "there already" in str(again.exception)
        put(f"{base}/filled.csv", filled(Location.parse(f"{base}/sheet.csv").read_bytes()))
        told.append(done("labels", "add", "demo", f"{base}/filled.csv", "--export", f"{base}/gold.jsonl", "--json", *root))
        told.append(done("labels", "correct", "demo", "--judge", "cross-encoder", "--out", f"{base}/corrected.parquet", "--json", *root))
        gold, threads = f"{base}/gold.jsonl", ("--threads", "1")
        told.append(done("judge", "validate", gold, "--judge", f"{base}/judge.yaml", "--json", *threads))
        told.append(
            done("judge", "calibrate", gold, "--judge", f"{base}/judge.yaml", "--out", f"{base}/calibration.json", "--json", *threads)
        )
        told.append(
            done("judge", "run", f"{base}/pairs.csv", "--judge", f"{base}/calibrated.yaml", "--out", f"{base}/judged.parquet", *threads)
        )
        told.append(done("judge", "fit-panel", gold, "--judge", f"{base}/panel.yaml", "--out", f"{base}/fitted.yaml", *threads))
        told.append(done("judge", "replies", f"{base}/replies.sqlite", "--out", f"{base}/replies.parquet"))
        outputs.append(
            [one.stdout.replace(base, "BASE") for one in told]
            + [Location.parse(f"{base}/{name}").read_bytes() for name in made]
            + [Location.parse(f"{base}/fitted.yaml").read_bytes().decode().replace(base, "BASE")]
        )
    for near, far in zip(*outputs, strict=True):
        assert near == far
    assert pl.read_parquet(Location.parse(f"{bases[1]}/judged.parquet").read_bytes()).height == 2
    assert "weights: BASE/judge" in str(outputs[1][-1])


def filled(sheet: bytes) -> str:
    """A sheet with a stance in every row."""
    rows = list(csv.DictReader(io.StringIO(sheet.decode("utf-8-sig"))))
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0])
    writer.writeheader()
    writer.writerows({**row, "stance": ("support", "oppose", "neutral")[number % 3]} for number, row in enumerate(rows))
    return out.getvalue()


def replies() -> bytes:
    """A file of replies in which nothing was asked yet."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "openai.sqlite"
        with closing(Record(path)):
            pass
        return path.read_bytes()


def test_weights_lie_where_the_root_is_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for root in (f"file://{tmp_path}/root", "~/root", "root", f"{tmp_path}/root"):
        assert Work(root, Runtime()).local == tmp_path / "root"
    assert Work("s3://bucket/root", Runtime()).local.parent == tmp_path / "cache" / "roots"


def test_weights_have_a_folder_without_tables_and_go_on_where_version_0_2_put_them(tmp_path: Path) -> None:
    work = Work(str(tmp_path), Runtime())
    older = RunFolder(tmp_path / "checkpoints" / "abc", "identity")
    (older.state / "policy" / "checkpoint-5").mkdir(parents=True)
    older.keep_state("policy", 5, older.state / "policy" / "checkpoint-5")
    assert RunFolder(work.weights_folder("abc"), "identity").resume_point("policy") == (5, older.state / "policy" / "ready-000005")
    assert work.weights_folder("other") == tmp_path / "weights" / "other"
    assert "weights" not in TABLES


def test_errors_name_the_address_and_not_the_copy(s3_root: str) -> None:
    put(f"{s3_root}/empty.jsonl", "")
    with pytest.raises(DataError) as fault:
        rows_of(Dataset(data=f"{s3_root}/empty.jsonl"), "sft")
    assert str(fault.value.where).startswith(f"{s3_root}/empty.jsonl")


def test_no_option_takes_local_paths_only() -> None:
    """A file or folder that is given as a pathlib.Path could be no address: it loses one of the slashes of ``s3://``."""
    for module in main._modules(()):
        import_module(f"valuedrift.flows.cli.{module}")
    pending, seen = [app], 0
    while pending:
        group = pending.pop()
        pending += [one.typer_instance for one in group.registered_groups]
        for command in group.registered_commands:
            for name, kind in get_type_hints(command.callback).items():
                seen += 1
                assert kind is not Path and Path not in get_args(kind), f"{command.callback.__module__}: {name}"
    assert seen > 100


READING = [
    ("plan", "X/none.yaml"),
    ("run", "X/none.yaml"),
    ("explain", "X/none.yaml"),
    ("status", "X/none.yaml"),
    ("report", "X/none.yaml"),
    ("analyze", "PAIRS", "--labels", "X/none.csv"),
    ("audit", "X/none.jsonl"),
    ("audit", "starter:sft-neutral", "--judge", "X/none.yaml"),
    ("audit", "starter:sft-neutral", "--weights", "X/none"),
    ("judge", "run", "X/none.csv", "--out", "OUT/o.parquet"),
    ("judge", "run", "PAIRS", "--judge", "X/none.yaml", "--out", "OUT/o.parquet"),
    ("judge", "run", "PAIRS", "--set", "calibration=X/none.json", "--out", "OUT/o.parquet"),
    ("judge", "run", "PAIRS", "--judge", "causal-lm", "--set", "engine.model=X/none", "--out", "OUT/o.parquet"),
    ("judge", "validate", "X/none.csv"),
    ("judge", "calibrate", "X/none.csv", "--out", "OUT/c.json"),
    ("judge", "fit-panel", "X/none.csv", "--judge", "PANEL", "--out", "OUT/p.yaml"),
    ("judge", "replies", "X/none.sqlite", "--out", "OUT/r.parquet"),
    ("labels", "show", "X/none.yaml"),
    ("probes", "build", "--source", "X/none.csv", "--column", "prompt", "--out", "OUT/set.parquet"),
    ("probes", "build", "--source", "PAIRS", "--column", "prompt", "--out", "OUT/set.parquet", "--topic-file", "X/none.yaml"),
    ("probes", "build", "--source", "PAIRS", "--column", "prompt", "--out", "OUT/set.parquet", "--rewriter", "X/none.yaml"),
    ("probes", "build", "--source", "PAIRS", "--column", "prompt", "--out", "OUT/set.parquet", "--embedder", "X/none"),
    ("synthesize", "--setting", "support-aligned", "--gap", "0.2", "--out", "OUT/s.jsonl", "--writer", "X/none.yaml"),
    (
        "synthesize",
        "--setting",
        "support-aligned",
        "--gap",
        "0.2",
        "--out",
        "OUT/s.jsonl",
        "--writer",
        "transformers",
        "--probes",
        "X/none.csv",
    ),
]
WRITING = [
    ("report", "STUDY", "--report", "s3://nowhere/report"),
    ("run", "STUDY", "--report", "s3://nowhere/report"),
    ("judge", "run", "PAIRS", "--out", "s3://nowhere/o.parquet"),
    ("labels", "draw", "demo", "--out", "s3://nowhere/s.csv"),
    ("labels", "show", "demo", "--export", "s3://nowhere/g.jsonl"),
    ("judge", "calibrate", "PAIRS", "--out", "s3://nowhere/c.json"),
    ("labels", "correct", "demo", "--out", "s3://nowhere/c.parquet"),
    ("judge", "fit-panel", "PAIRS", "--judge", "PANEL", "--out", "s3://nowhere/p.yaml"),
    ("judge", "replies", "PAIRS", "--out", "s3://nowhere/r.parquet"),
    ("judge", "train", "--out", "s3://nowhere/judge"),
    ("probes", "build", "--source", "PAIRS", "--column", "prompt", "--out", "s3://nowhere/set.parquet"),
    ("probes", "build", "--source", "PAIRS", "--column", "prompt", "--out", "OUT/set.parquet", "--decisions", "s3://nowhere/d.parquet"),
    ("synthesize", "--setting", "support-aligned", "--gap", "0.2", "--out", "s3://nowhere/s.jsonl"),
    ("analyze", "PAIRS", "--out", "s3://nowhere/d.parquet"),
    ("analyze", "PAIRS", "--corrected", "s3://nowhere/c.parquet", "--labels", "PAIRS"),
    ("analyze", "PAIRS", "--trajectory", "s3://nowhere/t.parquet"),
    ("tables", "export", "s3://nowhere/e"),
    ("tables", "import", "s3://nowhere/s.parquet", "--study", "x"),
    ("tables", "--root", "s3://nowhere/root"),
    ("sql", "from drift", "--root", "s3://nowhere/root"),
    ("status", "--root", "s3://nowhere/root"),
]


@pytest.mark.parametrize(
    ("words", "message"),
    [(words, "nothing at this address") for words in READING] + [(words, "there is no bucket 'nowhere'") for words in WRITING],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_missing_object_or_bucket_is_one_message_before_any_work(
    s3_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    named = {
        "X": s3_root,
        "OUT": str(tmp_path),
        "PAIRS": put(f"{tmp_path}/pairs.csv", PAIRS),
        "PANEL": put(f"{tmp_path}/panel.yaml", "type: panel\nmembers: [{type: cross-encoder}, {type: cross-encoder, name: other}]\n"),
        "STUDY": put(f"{tmp_path}/study.yaml", STUDY),
    }
    given = [
        named.get(word, word) if "/" not in word else word.replace("X/", f"{s3_root}/").replace("OUT/", f"{tmp_path}/") for word in words
    ]
    result = run(*given)
    assert isinstance(result.exception, UserError), result.output
    assert message in str(result.exception) and str(result.exception).count("\n") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs.csv", "panel.yaml", "study.yaml"]
