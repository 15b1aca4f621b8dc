"""References to models: embedded names, local folders, the hub's local cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from valuedrift.errors import UserError
from valuedrift.models.resolve import resolve_model


def test_an_embedded_model_is_a_whole_folder() -> None:
    folder = resolve_model("embedded:smollm2-135m-instruct")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in folder.iterdir()}
    assert resolve_model(str(folder)) == folder


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("embedded:smollm", "embedded:smollm2-135m-instruct"),
        ("embedded:minilm-l6", "nearest: embedded:minilm"),
        ("ollama:smollm2", "no such kind of model reference"),
        ("/no/such/folder", "no such model folder"),
        ("hf:not a name", "not a hub repository name"),
    ],
)
def test_a_wrong_reference_says_what_would_be_right(reference: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        resolve_model(reference)


def test_a_folder_with_pickled_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(UserError, match="never loaded"):
        resolve_model(str(tmp_path))


def _offline(tmp_path: Path, reference: str) -> subprocess.CompletedProcess[str]:
    code = f"from valuedrift.models.resolve import resolve_model; print(resolve_model({reference!r}))"
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)


def test_the_hub_offline_serves_what_its_cache_has_and_else_says_so(tmp_path: Path) -> None:
    missing = _offline(tmp_path, "hf:org/name")
    assert missing.returncode != 0
    assert "UserError: model hf:org/name could not be fetched" in missing.stderr

    cached = tmp_path / "hub" / "hub" / "models--org--name"
    snapshot = cached / "snapshots" / ("a" * 40)
    shutil.copytree(resolve_model("embedded:minilm"), snapshot)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("a" * 40)
    found = _offline(tmp_path, "hf:org/name")
    assert Path(found.stdout.strip()) == snapshot, found.stderr
