"""The wheel: one name, its data, an entry point; and it runs from any folder, whatever lies there."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

import valuedrift

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built of a copy, so that nothing is left in the checkout."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    leave = shutil.ignore_patterns(
        ".git", ".venv", "__pycache__", "tests", "*.egg-info", "build", "valuedrift-data", ".*_cache", ".hypothesis"
    )
    shutil.copytree(ROOT, source, symlinks=True, ignore=leave)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(place), str(source)]
    done = subprocess.run(build, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = place.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel alone in a folder of its own."""
    folder = tmp_path_factory.mktemp("installed")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder), str(wheel)]
    done = subprocess.run(install, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder of somebody's own, with modules that are called as ours were."""
    for name in ("flows", "tasks", "storage"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise RuntimeError('this is my own {name}')\n")
    return tmp_path


def start(installed: Path, elsewhere: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "valuedrift.flows.cli.main", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(installed), "PREFECT_HOME": str(elsewhere / "prefect"), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command, cwd=elsewhere, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def test_it_has_one_name_and_all_data_and_an_entry_point(wheel: Path) -> None:
    assert wheel.name.startswith(f"valuedrift-{valuedrift.__version__}-py3-none-any")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {"valuedrift", f"valuedrift-{valuedrift.__version__}.dist-info"}
    tracked = [ROOT / "valuedrift", *(ROOT / "valuedrift" / name for name in ("flows", "tasks", "storage"))]
    files = {path for folder in tracked for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {str(path.relative_to(ROOT)) for path in files} == {name for name in names if name.startswith("valuedrift/")}
    entry = next(name for name in names if name.endswith("entry_points.txt"))
    assert "valuedrift = valuedrift.flows.cli.main:main" in zipfile.ZipFile(wheel).read(entry).decode()


def test_it_plans_beside_folders_called_flows_and_tasks(installed: Path, elsewhere: Path) -> None:
    for arguments, part in (
        (("--version",), valuedrift.__version__),
        (("init", "mine.yaml"), "written"),
        (("plan", "mine.yaml"), "2 runs"),
    ):
        process = start(installed, elsewhere, *arguments)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0 and part in output, output
    where = subprocess.run(
        [sys.executable, "-c", "import valuedrift.tasks, valuedrift; print(valuedrift.__file__)"],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert where.stdout.strip() == str(installed / "valuedrift/__init__.py")


def test_its_demo_begins_from_any_folder_and_ends_at_ctrl_c(installed: Path, elsewhere: Path) -> None:
    process = start(installed, elsewhere, "demo", "--root", "root")
    end = time.monotonic() + 180
    try:
        while not (written := list((elsewhere / "root").rglob("*.parquet"))) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the command, Prefect's own server among them
        output, _ = process.communicate(timeout=90)  # minutes, where the server ends before the run
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)  # nothing of it is left
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert written and process.returncode == 130, output
    assert output.startswith("demo 6 runs, 30 probes") and "interrupted" in output and "EventsWorker" not in output
