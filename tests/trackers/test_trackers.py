"""Each tracker against its own backend: event files read back, MLflow's database, offline files of Weights & Biases. No point stands twice."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import TypeAdapter, ValidationError

from valuedrift.errors import StageError, UserError
from valuedrift.study.runtime import Runtime
from valuedrift.trackers.base import Points, TrackedRun, TrackerBase
from valuedrift.trackers.mlflow import MLflow
from valuedrift.trackers.points import points_of, tell
from valuedrift.trackers.registry import TRACKERS, TrackerConfig
from valuedrift.trackers.tensorboard import TensorBoard
from valuedrift.trackers.wandb import WandB

Found = dict[str, list[tuple[int, float]]]
FIRST: Points = {"stance/trust in experts/support": {0: 0.25, 10: 0.5}, "drift/trust in experts/support": {10: 0.25}}
MORE: Points = {"stance/trust in experts/support": {0: 0.25, 10: 0.5, 40: 0.75}, "drift/trust in experts/support": {10: 0.25, 40: 0.5}}
OTHER: Points = {"stance/trust in experts/support": {0: 0.25, 10: 0.125, 40: 0.75}, "drift/trust in experts/support": {10: -0.125, 40: 0.5}}


@dataclass
class Backend:
    """A tracker and what reads back what it holds of a run."""

    tracker: TrackerBase
    read: Callable[[TrackedRun], Found]


def tensorboard(place: Path) -> Backend:
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read(run: TrackedRun) -> Found:
        found = EventAccumulator(str(run.place / "tensorboard" / run.study / run.run_id))
        found.Reload()
        return {tag: [(one.step, one.value) for one in found.Scalars(tag)] for tag in found.Tags()["scalars"]}

    return Backend(TensorBoard(), read)


def mlflow(place: Path) -> Backend:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    pytest.importorskip("alembic", reason="MLflow's database wants alembic")
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{place}/mlflow.db"

    def read(run: TrackedRun) -> Found:
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(run.study)
        (mine,) = client.search_runs([experiment.experiment_id], f"tags.`valuedrift.run` = '{run.run_id}'")
        names = mine.data.metrics
        return {name: sorted((one.step, one.value) for one in client.get_metric_history(mine.info.run_id, name)) for name in names}

    return Backend(MLflow(uri=uri), read)


def records(content: bytes) -> Iterator[bytes]:
    """The records of an offline file: blocks of 32 kB as LevelDB's log has them, behind 7 bytes that say what it is."""
    assert content[:4] == b":W&B"
    at, whole = 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        size, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        whole += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # the only or the last piece
            yield whole
            whole = b""


def wandb(place: Path) -> Backend:
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    from wandb.proto.wandb_internal_pb2 import Record

    def read(run: TrackedRun) -> Found:
        until = time.monotonic() + 20  # its service writes a run's end behind our back
        while True:
            found = {file: file.read_bytes() for file in (run.place / "wandb").glob("offline-run-*/run-*.wandb")}
            mine = [content for content in found.values() if run.run_id.encode() in content and b"training_step" in content]
            if mine or time.monotonic() > until:
                break
            time.sleep(0.1)
        (content,) = mine
        told = Found()
        for data in records(content):
            record = Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") != "history":
                continue
            row = {(one.key or "/".join(one.nested_key)): json.loads(one.value_json) for one in record.history.item}
            for name, value in row.items():
                if not name.startswith("_") and name != "training_step":
                    told.setdefault(name, []).append((row["training_step"], value))
        return told

    return Backend(WandB(), read)


BACKENDS = {"tensorboard": tensorboard, "mlflow": mlflow, "wandb": wandb}


def lists(points: Points) -> Found:
    return {name: sorted(values.items()) for name, values in points.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKENDS)
def test_a_tracker_holds_what_the_tables_say_and_nothing_twice(name: str, tmp_path: Path) -> None:
    backend = BACKENDS[name](tmp_path)
    run, beside = (TrackedRun("study", one, f"uid of {one}", tmp_path) for one in ("sft-neutral", "another"))
    other = tell(backend.tracker, beside, FIRST, {})
    kept = tell(backend.tracker, run, FIRST, {})
    assert backend.read(run) == lists(FIRST)
    kept = json.loads(json.dumps(tell(backend.tracker, run, MORE, kept)))  # as it is remembered in a file
    assert backend.read(run) == lists(MORE)
    assert tell(backend.tracker, run, MORE, kept)["name"] == kept["name"]
    assert backend.read(run) == lists(MORE), "told again, nothing is written again"
    tell(backend.tracker, run, MORE, {**kept, "whole": False})
    assert backend.read(run) == lists(MORE), "whoever told it was killed: written again, not beside"
    tell(backend.tracker, run, OTHER, kept)
    assert backend.read(run) == lists(OTHER), "a number of the past changed"
    assert backend.read(beside) == lists(FIRST) and other["whole"], "another run is left alone"


def test_a_tracker_that_is_not_reached_is_told_without_its_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StageError) as told:
        tell(MLflow(uri="http://127.0.0.1:1/secret"), TrackedRun("study", "run", "uid", tmp_path), FIRST, {})
    assert "secret" not in str(told.value) and "tracker mlflow: MLflow does not take it: " in str(told.value) and "Error" in str(told.value)


def test_a_study_names_trackers_by_name_or_with_settings() -> None:
    runtime = Runtime.model_validate(
        {"trackers": ["tensorboard", {"type": "mlflow", "uri": "sqlite:////x.db"}, {"type": "wandb", "project": "p"}]}
    )
    assert [type(one).__name__ for one in runtime.trackers] == ["TensorBoard", "MLflow", "WandB"]
    assert runtime.model_dump(mode="json")["trackers"][1]["uri"] == "sqlite:////x.db"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("tensorbord", "tensorboard"),
        ({"type": "mlflow", "url": "x"}, "url"),
        ({"type": "mlflow", "uri": "https://me:password@host/x"}, "give it in the environment"),
        ({"type": "mlflow", "uri": "http://host/?token=SECRET"}, "give it in the environment"),
        ({"type": "mlflow", "uri": "ftp://host/x"}, "no tracking server and no database"),
        ({"type": "mlflow", "uri": "nonsense"}, "no tracking server and no database"),
        ({"type": "tensorboard", "folder": "s3://bucket/x"}, "a folder of this machine"),
        (3, "dictionary"),
    ],
)
def test_what_is_no_tracker_is_refused(written: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TypeAdapter(TrackerConfig).validate_python(written)


def test_a_database_with_a_user_and_no_password_is_taken() -> None:
    assert MLflow(uri="postgresql+psycopg://me@host/db?sslmode=require").uri


def test_a_file_where_event_files_should_go_is_told_ahead(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="a file stands where a folder is needed"):
        TensorBoard(folder=str(tmp_path / "file" / "below")).check()


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TRACKERS.types():
        kind = TRACKERS.kind(name)
        monkeypatch.setattr(kind, "module", "no_such_package")
        with pytest.raises(UserError, match=rf"pip install 'valuedrift\[{name}\]'"):
            kind().check()


def test_points_are_what_the_tables_say() -> None:
    row = {"topic": "trust: in/experts", "stance": "support"}
    trajectory = pl.DataFrame([{**row, "step": step, "mean": mean} for step, mean in ((10, 0.5), (0, 0.25))])
    drift = pl.DataFrame([{**row, "to_step": 10, "magnitude": 0.25, "magnitude_low": 0.125, "magnitude_high": None}])
    looks = pl.DataFrame([{**row, "step": 10, "mean_of": of, "change": 0.25, "change_low": 0.0, "change_high": 0.5} for of in (1, 2)])
    training = pl.DataFrame([{"step": step, "loss": 2.0 - step, "reward": None, "reward_margin": None, "kl": None} for step in (1, 2)])
    name = "trust- in-experts/support"
    without = points_of(trajectory, drift, looks.clear(), training)
    assert without == {
        f"stance/{name}": {0: 0.25, 10: 0.5},
        f"drift/{name}": {10: 0.25},
        f"drift/{name}/low": {10: 0.125},
        "training/loss": {1: 1.0, 2: 0.0},
    }
    assert points_of(trajectory, drift, looks, training)[f"drift/{name}/high"] == {10: 0.5}


def test_topics_that_a_name_cannot_tell_apart_are_two_curves() -> None:
    topics = ["移民", "宗教", "climate/change", "climate-change", "religion"]
    rows = [{"topic": topic, "stance": "support", "step": 0, "mean": at / 10} for at, topic in enumerate(topics)]
    drift = pl.DataFrame(schema=dict.fromkeys(("topic", "stance", "to_step", "magnitude", "magnitude_low", "magnitude_high"), pl.Float64))
    looks = pl.DataFrame(schema=dict.fromkeys(("topic", "stance", "step", "mean_of", "change", "change_low", "change_high"), pl.Float64))
    points = points_of(pl.DataFrame(rows), drift, looks, pl.DataFrame({"step": []}))
    assert sorted(value for values in points.values() for value in values.values()) == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert "stance/religion/support" in points and len(points) == 5
