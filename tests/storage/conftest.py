"""Roots to store in: a folder, and a prefix on a real S3 server."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # stance_frames, small_study: what these tests share

from small_study import fill

from valuedrift.storage.store import Store


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty root, once on disk and once on S3."""
    return str(tmp_path / "root") if request.param == "local" else request.getfixturevalue("s3_root")


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A local root with the small study, for tests that only read it."""
    place = str(tmp_path_factory.mktemp("filled") / "root")
    fill(Store(place))
    return place
