"""The main job on the real embedded model, through the real command line and a real Prefect server: once, again, and killed on the way."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import psutil
import pytest

from valuedrift.cache import CACHE_VARIABLE, cache_folder
from valuedrift.probes import load_probes, probes_frame
from valuedrift.results.facts import ANALYSED, CONCLUDED
from valuedrift.starter import DATASETS
from valuedrift.storage.location import Location
from valuedrift.storage.store import Store

if TYPE_CHECKING:
    from seaweed import Seaweed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

STUDY = Path(__file__).parent / "tiny.yaml"
RUNS = ("smollm.sft-neutral", "smollm.sft-neutral.dpo-gap")
COMPARED = ("training", "checkpoints", "responses", "stances", "trajectory", "drift")
NOT_COMPARED = {"path"}
"""Where weights lie differs between roots; their fingerprints must not."""


@dataclass(frozen=True)
class Place:
    """A root of its own and a Prefect home of its own.

    Attributes:
        root: Where the tables lie.
        home: Prefect's.
        more: Further environment.
        local: Below it lie job files.
    """

    root: Path | str
    home: Path
    more: dict[str, str]
    local: Path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "valuedrift.flows.cli.main", *arguments, "--root", str(self.root)]

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PREFECT_HOME": str(self.home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "HF_HUB_OFFLINE": "1",
            "COLUMNS": "160",
            **self.more,
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*arguments), env=self.environment, capture_output=True, text=True, timeout=1500)


def tables(root: Path | str) -> dict[str, pl.DataFrame]:
    store = Store(root)
    frames = {name: store.read(name, study="tiny") for name in COMPARED}
    return {name: frame.select(pl.exclude(NOT_COMPARED)).sort(pl.all()) for name, frame in frames.items()}


def computed(output: str) -> list[str]:
    """Stages that a run computed, by its lines ``done train smollm.sft-neutral 12 s``."""
    return [line.split("done ", 1)[1].rsplit(" ", 2)[0] for line in output.splitlines() if " done " in line]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("undisturbed")
    return Place(folder / "root", folder / "prefect", {}, folder / "root")


@pytest.fixture(scope="module")
def first(place: Place) -> subprocess.CompletedProcess[str]:
    done = place.run("run", str(STUDY))
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def undisturbed(place: Place, first: subprocess.CompletedProcess[str]) -> dict[str, pl.DataFrame]:
    return tables(place.root)


def test_every_stage_leaves_its_rows(undisturbed: dict[str, pl.DataFrame]) -> None:
    checkpoints, responses, stances = undisturbed["checkpoints"], undisturbed["responses"], undisturbed["stances"]
    assert checkpoints.select("run_id", "step").rows() == [(run, step) for run in RUNS for step in (0, 1, 2)]
    assert responses.height == stances.height == 2 * 3 * 4 * 2  # runs × checkpoints × probes × samples
    assert undisturbed["training"].get_column("loss").is_not_null().all()
    ok = stances.filter(pl.col("status") == "ok")
    assert ok.height and (ok.select(pl.sum_horizontal("p_support", "p_neutral", "p_oppose")).to_series() - 1).abs().max() < 1e-6
    assert undisturbed["trajectory"].height == 2 * 3 * 3 and undisturbed["drift"].height == 2 * 3
    assert undisturbed["drift"].group_by("run_id").agg(pl.col("magnitude").sum()).get_column("magnitude").abs().max() < 1e-9


def test_training_changes_weights_and_a_child_starts_from_its_parents_last(undisturbed: dict[str, pl.DataFrame]) -> None:
    prints = {(row["run_id"], row["step"]): row["fingerprint"] for row in undisturbed["checkpoints"].iter_rows(named=True)}
    assert prints[RUNS[0], 2] == prints[RUNS[1], 0]
    assert len(set(prints.values())) == 5


def test_equal_weights_share_their_answers(first: subprocess.CompletedProcess[str], undisturbed: dict[str, pl.DataFrame]) -> None:
    sampled = [stage for stage in computed(first.stdout) if stage.startswith("sample")]
    assert len(sampled) == 5  # six checkpoints, two of them the same weights
    answers = undisturbed["responses"]
    parent = answers.filter((pl.col("run_id") == RUNS[0]) & (pl.col("step") == 2)).select("prompt_id", "sample_idx", "response")
    child = answers.filter((pl.col("run_id") == RUNS[1]) & (pl.col("step") == 0)).select("prompt_id", "sample_idx", "response")
    assert parent.sort(pl.all()).equals(child.sort(pl.all()))


def test_the_terminal_shows_the_drift_and_where_the_report_is(place: Place, first: subprocess.CompletedProcess[str]) -> None:
    assert "value drift:" in first.stdout and "report.html" in first.stdout
    page = place.local / "reports" / "tiny" / "report.html"
    assert "immigration" in page.read_text(encoding="utf-8")
    assert {path.suffix for path in (page.parent / "figures").iterdir()} == {".png", ".svg", ".pdf"}


def test_a_second_run_only_looks(place: Place, undisturbed: dict[str, pl.DataFrame]) -> None:
    begun = time.monotonic()
    again = place.run("run", str(STUDY))
    print(f"a finished study: {time.monotonic() - begun:.1f} s")
    assert again.returncode == 0 and "nothing to do" in again.stdout and computed(again.stdout) == []
    assert all(frame.equals(undisturbed[name]) for name, frame in tables(place.root).items())


def test_prefect_serves_every_task_from_its_cache_in_another_flow_run(place: Place, undisturbed: dict[str, pl.DataFrame]) -> None:
    script = (
        "import sys\nfrom valuedrift.flows.trace import trace\n"
        "state = trace(sys.argv[1], sys.argv[2], return_state=True)\n"
        "from prefect.client.orchestration import get_client\n"
        "from prefect.client.schemas.filters import FlowRunFilter\n"
        "with get_client(sync_client=True) as client:\n"
        "    runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id={'any_': [state.state_details.flow_run_id]}), limit=200)\n"
        "print('STATES', sorted({(run.name.split()[0], run.state_name) for run in runs}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(STUDY), str(place.root)], env=place.environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    states = next(line for line in done.stdout.splitlines() if line.startswith("STATES"))
    for stage in ("train", "sample", "judge", "analyze"):
        assert f"('{stage}', 'Cached')" in states and f"('{stage}', 'Completed')" not in states


def test_explain_names_the_part_of_the_identity_that_differs(place: Place, undisturbed: dict[str, pl.DataFrame], tmp_path: Path) -> None:
    assert "cached" in place.run("explain", str(STUDY)).stdout
    changed = tmp_path / "changed.yaml"
    changed.write_text(STUDY.read_text(encoding="utf-8").replace("temperature: 0.7", "temperature: 0.8"), encoding="utf-8")
    told = place.run("explain", str(changed)).stdout
    assert "sampling.temperature: 0.7 → 0.8" in " ".join(told.split())
    assert "5 cached" in told  # the probes, both trainings, and the audits of what they train on


def test_a_report_is_read_from_the_tables_where_weights_and_caches_are_gone(
    place: Place, undisturbed: dict[str, pl.DataFrame], tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(place.root, root, ignore=shutil.ignore_patterns("weights", ".scratch", "reports"))
    assert {path.name for path in (Path(place.root) / "checkpoints").iterdir()} == {"study=tiny"}  # the table alone
    bare = Place(root, tmp_path / "prefect", {CACHE_VARIABLE: str(tmp_path / "cache"), "HF_HOME": str(tmp_path / "hf")}, root)
    done = bare.run("report", str(STUDY))
    assert done.returncode == 0, done.stdout + done.stderr
    there = (place.local / "reports" / "tiny" / "report.html").read_text(encoding="utf-8")
    assert (root / "reports" / "tiny" / "report.html").read_text(encoding="utf-8") == there


def test_a_root_without_the_tables_of_this_version_gets_them_without_any_model(
    place: Place, undisturbed: dict[str, pl.DataFrame], tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(place.root, root, ignore=shutil.ignore_patterns(".scratch", "reports"))
    store = Store(root)
    known = {entry.address: entry.path for entry in store.entries(study="tiny")}
    new = {*ANALYSED, *CONCLUDED} - {"trajectory", "drift"}
    store.drop("tiny", [address for address in known if address[0] in new])
    older = Place(root, tmp_path / "prefect", {}, root)
    refused = older.run("report", str(STUDY))
    assert refused.returncode == 2 and "made by version 0.2" in " ".join(refused.stderr.split())
    done = older.run("run", str(STUDY))
    assert done.returncode == 0, done.stdout + done.stderr
    assert {stage.split()[0] for stage in computed(done.stdout)} == {"analyze", "conclude", "report"}
    again = {entry.address: entry.path for entry in Store(root).entries(study="tiny")}
    assert again.keys() == known.keys()
    assert all(again[address] == known[address] for address in known if address[0] != "provenance")  # that says when and by what


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Place]:
    yield Place(tmp_path / "root", tmp_path / "prefect", {}, tmp_path / "root")


def _kill_during(place: Place, study: str, kind: str, seconds: float) -> None:
    """Start a study and SIGKILL it, and only it, once a job of a kind has run for some time."""
    process = subprocess.Popen(place.command("run", study), env=place.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 900
    seen: dict[Path, float] = {}
    while time.monotonic() < deadline and process.poll() is None:
        for job in (Path(folder) / "job.json" for folder, _, files in os.walk(place.local) if "job.json" in files):  # folders may vanish
            try:
                if f'"kind":"{kind}"' in job.read_text(encoding="utf-8"):
                    seen.setdefault(job, time.monotonic())
            except FileNotFoundError:
                continue
        if any(time.monotonic() - since > seconds for job, since in seen.items() if job.exists()):
            break
        time.sleep(0.02)
    assert process.poll() is None, f"the study ended before it could be killed during {kind}"
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs([child for child in children if "valuedrift.jobs" in " ".join(_arguments(child))], timeout=30)
    for server in children:  # Prefect's own temporary server outlives a SIGKILL of the process that started it
        if server.is_running():
            server.kill()
    assert not alive, "children outlived their parent"


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


@pytest.fixture
def bucket(s3_server: Seaweed, s3_root: str, tmp_path: Path) -> Place:
    """A root in a bucket, and on this machine only a folder for weights."""
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "models").symlink_to(cache_folder() / "models")
    return Place(f"{s3_root}/root", tmp_path / "prefect", {**s3_server.environment, CACHE_VARIABLE: str(cache)}, cache / "roots")


def _study_in(folder: str) -> str:
    """The tiny study in a bucket, beside it the data and probes that it names."""
    text = STUDY.read_text(encoding="utf-8")
    for name in ("sft-neutral", "preference-support"):
        text = text.replace(f'"starter:{name}"', f"data/{name}.jsonl")
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in DATASETS[name]())
        Location.parse(f"{folder}/data/{name}.jsonl").put_bytes(lines.encode())
    probes = io.BytesIO()
    probes_frame(load_probes("starter")).write_parquet(probes)
    Location.parse(f"{folder}/probes.parquet").put_bytes(probes.getvalue())
    Location.parse(f"{folder}/tiny.yaml").put_bytes(text.replace("set: starter", "set: probes.parquet").encode())
    return f"{folder}/tiny.yaml"


@pytest.mark.long
def test_killed_on_the_way_in_a_bucket_the_tables_equal_those_of_an_undisturbed_run_on_disk(
    bucket: Place, place: Place, undisturbed: dict[str, pl.DataFrame], s3_root: str
) -> None:
    study = _study_in(f"{s3_root}/studies")
    for kind, seconds in (("sample", 0.3), ("train", 1.5), ("judge", 0.2)):
        _kill_during(bucket, study, kind, seconds)
    last = bucket.run("run", study)
    assert last.returncode == 0, last.stdout + last.stderr
    found = tables(bucket.root)
    for name, frame in undisturbed.items():
        assert found[name].equals(frame), f"table {name} differs from that of an undisturbed run"
    checked = bucket.run("tables", "check")
    assert checked.returncode == 0, checked.stdout

    page = Location.parse(f"{bucket.root}/reports/tiny/report.html")
    assert page.uri in last.stdout and b"immigration" in page.read_bytes()
    figures = {path.name for path in (place.local / "reports" / "tiny" / "figures").iterdir()}
    assert {one.location.name for one in page.beside("figures").listing()} == figures
    again = bucket.run("run", study)
    assert again.returncode == 0 and "nothing to do" in again.stdout and computed(again.stdout) == []


def test_bad_input_is_one_message_and_leaves_nothing(fresh: Place, tmp_path: Path) -> None:
    text = STUDY.read_text(encoding="utf-8")
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}", encoding="utf-8")
    cases = {
        "samplin: {}\n" + text: "samplin",
        text.replace('"starter:sft-neutral"', '"nowhere.jsonl"'): "nowhere.jsonl",
        text.replace('"starter:sft-neutral"', f'"{empty}"'): "empty",
        text.replace('"starter:sft-neutral"', '"starter:preference-support"'): "starter:preference-support",
        text.replace('"embedded:smollm2-135m-instruct"', f'"{model}"'): "tokenizer",
    }
    for index, (content, expected) in enumerate(cases.items()):
        path = tmp_path / f"case{index}.yaml"
        path.write_text(content, encoding="utf-8")
        done = fresh.run("run", str(path))
        told = " ".join((done.stdout + done.stderr).split())
        assert done.returncode in (2, 3), told
        assert "error" in told and expected in told and "Traceback" not in told
        assert not list(fresh.local.rglob("*.parquet"))
