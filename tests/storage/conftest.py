"""Roots to store in: a folder, and a prefix on a real S3 server."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # stance_frames, seaweed: what these tests share

from seaweed import BUCKET, Seaweed, running
from small_study import fill

from storage.store import Store


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """A SeaweedFS server for the session."""
    with running(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture
def s3_root(s3_server: Seaweed, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty root on the S3 server, with the environment that reaches it."""
    from storage import location

    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    location._backend.cache_clear()  # a client keeps the environment that it was made in
    yield f"s3://{BUCKET}/{uuid.uuid4().hex[:8]}"
    location._backend.cache_clear()


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
