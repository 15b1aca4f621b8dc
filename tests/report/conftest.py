"""A synthetic study for the tests of findings, figures and report."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from made_study import Made, study


@pytest.fixture(scope="session")
def make_study() -> Callable[..., Made]:
    return study


@pytest.fixture(scope="session")
def demo_inputs() -> Made:
    return study()
