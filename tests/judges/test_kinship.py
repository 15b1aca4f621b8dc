"""Whether two judges are one is told by what they are, not by what they are called or wrapped in."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.judges.base import JudgeBase
from valuedrift.judges.calibrated import Calibration
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.kinship import Kin, kinship
from valuedrift.judges.openai import OpenAI
from valuedrift.judges.panel import Panel

EMBEDDED = CrossEncoder()
SERVED = OpenAI(model="org/model", base_url="http://127.0.0.1:1/v1")


def calibration(folder: Path, temperature: float) -> str:
    """A calibration of the embedded judge."""
    made = Calibration(
        method="temperature",
        temperature=temperature,
        bias=(0.0, 0.0, 0.0),
        judge="cross-encoder",
        judge_fingerprint=fingerprint(EMBEDDED.own_identity()),
        labels={},
        prompts=0,
    )
    path = folder / f"{temperature}.json"
    path.write_text(made.model_dump_json())
    return str(path)


def other_weights(folder: Path) -> str:
    """The packaged weights with one number changed: another judge."""
    shutil.copytree(str(files("valuedrift").joinpath("data", "judge")), folder)
    weights = load_file(folder / "weights.safetensors")
    weights[min(weights)].flat[0] += 1
    save_file(weights, folder / "weights.safetensors")
    return str(folder)


def kin(selector: JudgeBase, auditor: JudgeBase) -> Kin:
    return kinship(selector, auditor).kin


def test_another_name_or_another_copy_of_its_weights_is_the_same_judge(tmp_path: Path) -> None:
    shutil.copytree(str(files("valuedrift").joinpath("data", "judge")), tmp_path / "copy")
    assert kin(EMBEDDED, CrossEncoder(name="second")) is Kin.SAME
    assert kin(EMBEDDED, CrossEncoder(name="copy", weights=str(tmp_path / "copy"))) is Kin.SAME
    assert kin(SERVED, SERVED.model_copy(update={"name": "b", "base_url": "http://elsewhere:8000/v1", "concurrency": 1})) is Kin.SAME
    assert kin(EMBEDDED, CrossEncoder(name="other", weights=other_weights(tmp_path / "other"))) is Kin.OTHER
    assert kin(EMBEDDED, SERVED) is Kin.OTHER


def test_a_calibration_makes_no_other_judge_of_it(tmp_path: Path) -> None:
    sharper = CrossEncoder(name="sharper", calibration=calibration(tmp_path, 0.5))
    assert kin(EMBEDDED, sharper) is Kin.RETUNED and kin(sharper, EMBEDDED) is Kin.RETUNED
    assert kin(sharper, sharper.model_copy(update={"name": "again"})) is Kin.SAME
    assert kin(sharper, CrossEncoder(calibration=calibration(tmp_path, 2.0))) is Kin.RETUNED


def test_it_is_found_inside_a_panel(tmp_path: Path) -> None:
    both = Panel(members=(CrossEncoder(name="hidden"), SERVED))
    found = kinship(EMBEDDED, both)
    assert found.kin is Kin.SHARED and found.shared == ("hidden",)
    assert "hidden" in str(found.words("cross-encoder", "panel"))
    assert kin(both, SERVED) is Kin.RETUNED  # the panel that selected holds all that it is made of
    itself = Panel(members=(CrossEncoder(name="a"), CrossEncoder(name="b", calibration=calibration(tmp_path, 0.5))))
    assert kin(EMBEDDED, itself) is Kin.RETUNED
    assert kin(EMBEDDED, Panel(members=(SERVED, SERVED.model_copy(update={"name": "c", "model": "org/other"})))) is Kin.OTHER


def test_what_cannot_judge_by_itself_is_found_without_loading_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    SERVED.check()
    EMBEDDED.check()
    for judge, part in (
        (CrossEncoder(weights=str(tmp_path / "nowhere")), "nowhere"),
        (OpenAI(model="gpt-4o"), "OPENAI_API_KEY"),
        (Panel(members=("a", "b")), "members are names"),
        (Panel(members=(EMBEDDED, OpenAI(model="gpt-4o"))), "OPENAI_API_KEY"),
    ):
        with pytest.raises(UserError, match=part):
            judge.check()
