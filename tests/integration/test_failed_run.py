"""A real study of two models, one of which has numbers that are none: the other is reported, and what failed is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from valuedrift.storage.store import Store

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("models", "cli")]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_sound_model_is_reported_and_the_other_named(tmp_path: Path) -> None:
    from broken_files import SOUND_STUDY
    from untied import change_tensors, save_untied

    save_untied(tmp_path / "good", max_position_embeddings=512)
    bad = save_untied(tmp_path / "bad", seed=1, max_position_embeddings=512)
    change_tensors(
        bad, lambda tensors: {name: values * float("nan") if "layers.1.mlp.up" in name else values for name, values in tensors.items()}
    )
    study = {key: value for key, value in SOUND_STUDY.items() if not key.startswith("preference")} | {
        "models": {name: {"path": name} for name in ("good", "bad")},
        "corpora": {"c": {"data": "starter:sft-neutral", "limit": 16}},
        "audit": None,
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "valuedrift.flows.cli.main", "run", str(tmp_path / "study.yaml"), "--root", str(tmp_path / "root")],
        env={**os.environ, "PREFECT_HOME": str(tmp_path / "prefect")},
        capture_output=True,
        text=True,
        timeout=800,
    )
    said = " ".join(done.stderr.split())
    assert done.returncode == 3 and "Traceback" not in said, done.stdout + done.stderr
    assert str(bad / "model.safetensors") in said and "the report is of the other runs, without bad.sft-c" in said
    store = Store(tmp_path / "root")
    assert set(store.read("drift")["run_id"]) == {"good.sft-c"}
    left_out = {section: name for section, name in store.read("provenance").select("section", "name").iter_rows() if "failed" in section}
    assert left_out == {"Runs that failed and are left out": "bad.sft-c"}
    assert "bad.sft-c" in (tmp_path / "root" / "reports" / "s" / "report.html").read_text(encoding="utf-8")
