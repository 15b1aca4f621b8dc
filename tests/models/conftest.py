"""Tiny models, whole and damaged."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # untied
from untied import Damaged, Tensors, change_tensors, save_untied


@pytest.fixture(scope="session")
def untied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_untied(tmp_path_factory.mktemp("untied"))


@pytest.fixture
def damaged(untied: Path, tmp_path: Path) -> Damaged:
    """A copy of the tiny model, its tensors changed."""

    def make(change: Callable[[Tensors], Tensors] = dict) -> Path:
        return change_tensors(Path(shutil.copytree(untied, tmp_path / "damaged")), change)

    return make
