"""`vd.trace`: checkpoints sampled, judged and analysed by one call, without Prefect; what cannot be traced is said before anything is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import valuedrift as vd
from valuedrift.errors import UserError

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))


def checkpoint(folder: Path, *, weights: str = "model.safetensors") -> Path:
    """A folder that looks like a checkpoint and is loaded by nobody."""
    folder.mkdir(parents=True)
    if weights.endswith(".safetensors"):
        save_file({"w": np.zeros(4, dtype=np.float32)}, folder / weights)
    else:
        (folder / weights).write_bytes(b"\x80\x04")
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_text("{}", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"per_topic": 1}, r"vd.trace: .*per_topic"),
        ({"samplng": {}}, r"samplng.*sampling"),
        ({"budget": 2}, r"checkpoints.*budget.*3"),
        ({"judge": "cross-encodr"}, r"`judges.0.type`: no 'cross-encodr'; did you mean"),
        ({"name": "My run"}, r"lower-case letters"),
        ({"study": "x"}, r"study=.* is said otherwise here .*name="),
        ({"series": {"a": {"source": "out"}}}, r"series=.* is said otherwise here .*checkpoints"),
        ({"topics": ["imigration"]}, r"did you mean 'immigration'"),
        ({"sampling": {"temperature": -1}}, r"temperature"),
    ],
)
def test_a_setting_that_is_none_is_said(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    places = [checkpoint(tmp_path / f"checkpoint-{step}") for step in (1, 2)]
    with pytest.raises(UserError, match=message):
        vd.trace(None, places, root=tmp_path / "root", **settings)
    assert not (tmp_path / "root" / "responses").exists()


def test_a_root_that_is_a_file_is_said(tmp_path: Path) -> None:
    places = [checkpoint(tmp_path / f"checkpoint-{step}") for step in (1, 2)]
    (tmp_path / "root").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="a file stands where"):
        vd.trace(None, places, root=tmp_path / "root")


def test_checkpoints_that_cannot_be_traced_are_said(tmp_path: Path) -> None:
    good = checkpoint(tmp_path / "out" / "checkpoint-1")
    with pytest.raises(UserError, match=r"one checkpoint only, of step 1.*name the model that the training started from"):
        vd.trace(None, good, root=tmp_path / "root")
    with pytest.raises(UserError, match="no checkpoint is there"):
        vd.trace(None, tmp_path / "none", root=tmp_path / "root")
    with pytest.raises(UserError, match="final: no checkpoint is there"):
        vd.trace(None, {1: good, 2: tmp_path / "final"}, root=tmp_path / "root")
    with pytest.raises(UserError, match="empty source"):
        vd.trace(None, {}, root=tmp_path / "root")
    checkpoint(tmp_path / "out" / "checkpoint-2", weights="pytorch_model.bin")
    with pytest.raises(
        UserError, match=r"checkpoint-2: not a whole checkpoint: no safetensors, but pickled weights of transformers \(pytorch_model.bin\)"
    ):
        vd.trace(None, tmp_path / "out", root=tmp_path / "root")


@pytest.mark.slow
def test_a_budget_evaluates_the_ends_and_what_tells_most(tmp_path: Path) -> None:
    from untied import save_untied

    for seed, step in enumerate((0, 10, 20, 30, 40)):
        (tmp_path / f"out/checkpoint-{step}").mkdir(parents=True)
        save_untied(tmp_path / f"out/checkpoint-{step}", seed=seed)
    asked: dict[str, Any] = {"topics": ["immigration"], "per_topic": 4, "samples": 1, "max_new_tokens": 2, "runtime": {"threads": 1}}
    got = vd.trace(None, tmp_path / "out", root=tmp_path / "root", budget=3, progress=False, **asked)
    assert got.trajectory()["step"].unique().sort().to_list() == [0, 20, 40]
    assert got.answers()["step"].n_unique() == 3, "nothing else was asked"


@pytest.mark.slow
def test_a_model_and_its_checkpoints_become_frames(tmp_path: Path) -> None:
    from untied import save_untied

    base, first, last = (tmp_path / name for name in ("base", "out/checkpoint-10", "final"))
    for seed, folder in enumerate((base, first, last)):
        folder.mkdir(parents=True)
        save_untied(folder, seed=seed)
    asked = {"root": tmp_path / "root", "topics": ["immigration"], "per_topic": 4, "samples": 2, "max_new_tokens": 6}
    script = f"""
import sys
from pathlib import PosixPath
import valuedrift as vd
got = vd.trace({base!r}, {{10: {first!r}, 25: {str(last)!r}}}, runtime={{"threads": 1}}, report=True, **{asked!r})
assert got.study == "traced" and got.drift()["from_step"].unique().to_list() == [0]
assert "prefect" not in sys.modules and "torch" not in sys.modules, "the children load models"
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    told = [line.split(":")[0] for line in done.stderr.splitlines()]
    assert {"sample traced step 10", "judge traced step 25", "analyze"} <= set(told)
    assert (tmp_path / "root" / "reports" / "traced" / "report.html").exists()
    before = {entry.key for entry in vd.open(tmp_path / "root").store.entries()}
    again = vd.trace(base, {10: first, 25: last}, **asked)  # type: ignore[arg-type]
    assert {entry.key for entry in again.store.entries()} == before
    answers = again.answers()
    assert answers.height == 3 * 4 * 2 and set(answers["step"]) == {0, 10, 25} and set(answers["judge"]) == {"cross-encoder"}
    assert answers["prompt"].null_count() == 0
    assert again.trajectory(topic="immigration").height == 3 * 3
    assert again.drift()["to_step"].unique().to_list() == [25]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"probes": [{"set": "starter"}, {"topcis": ["a"]}]}, r"unknown key `probes\.1\.topcis`; did you mean `topics`"),
        ({"probes": {"columns": {"prompt": 1}}}, r"`probes\.columns\.prompt`: must be text"),
        ({"probes": [{"set": "starter"}], "topics": ["religion"]}, "topics and per_topic are of one probe set"),
    ],
)
def test_probe_sets_are_named_as_in_a_study(tmp_path: Path, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        vd.trace(None, tmp_path, root=tmp_path / "root", **asked)
