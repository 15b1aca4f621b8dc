"""Where a number came from: the program's commit, the versions it ran with, the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("valuedrift", "torch", "transformers", "trl", "peft", "prefect", "duckdb", "polars", "pyarrow", "vllm")


@cache
def git_commit() -> str | None:
    """Commit of the checkout that runs, with ``+changes`` if it holds uncommitted ones; None outside a checkout."""
    folder = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        try:
            return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return None

    commit = git("rev-parse", "HEAD")
    if not commit:
        return None
    return f"{commit}+changes" if git("status", "--porcelain", "--untracked-files=no") else commit


def versions() -> dict[str, str]:
    """Versions of the packages that make the numbers; packages that aren't installed are left out."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str]:
    """The machine, in words that identify nobody."""
    return {"system": f"{platform.system()} {platform.machine()}", "cores": str(os.cpu_count() or 1)}
