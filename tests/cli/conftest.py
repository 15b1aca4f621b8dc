"""A root with a small study, for commands that read one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "storage")]  # broken_files; small_study


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A local root with the small study, for tests that only read it."""
    from small_study import fill

    from valuedrift.storage.store import Store

    place = str(tmp_path_factory.mktemp("filled") / "root")
    fill(Store(place))
    return place
