"""A real Prefect server with PostgreSQL behind it where there is one, a real S3 server, and a study of a tiny model."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import yaml

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("models", "cli", "spread", "storage")]

from cluster import PREFECT, Cluster, ended, free_port, postgres  # noqa: E402
from seaweed import Seaweed  # noqa: E402

from valuedrift.storage.location import Location, files_of  # noqa: E402


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, s3_server: Seaweed) -> Iterator[Cluster]:
    """A server that has nothing yet, and machines that reach the bucket; ended with all its children."""
    folder, port = tmp_path_factory.mktemp("cluster"), free_port()
    with ExitStack() as stack:
        database = stack.enter_context(postgres())
        cluster = Cluster(folder, f"http://127.0.0.1:{port}/api", s3_server.environment)
        environment = cluster.environment("server")
        del environment["PREFECT_API_URL"]
        if database is not None:
            environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database
        log = stack.enter_context((folder / "server.log").open("w"))
        process = subprocess.Popen([PREFECT, "server", "start", "--port", str(port)], env=environment, stdout=log, stderr=log, text=True)
        stack.callback(ended, process)
        for _ in range(240):
            time.sleep(0.5)
            assert process.poll() is None, (folder / "server.log").read_text()
            try:
                if httpx.get(f"{cluster.address}/health", timeout=5).status_code == 200:
                    break
            except httpx.TransportError:
                continue
        else:
            raise AssertionError((folder / "server.log").read_text())
        yield cluster


@pytest.fixture
def bucket(s3_server: Seaweed, monkeypatch: pytest.MonkeyPatch) -> Iterator[Location]:
    """The bucket, reached by this process too."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    files_of.cache_clear()  # a client keeps the environment that it was made in
    yield Location.parse(s3_server.bucket)
    files_of.cache_clear()


@pytest.fixture
def study(cluster: Cluster, bucket: Location) -> str:
    """The address of a study of a tiny model in the bucket: two phases, each with two checkpoints; no audit."""
    from broken_files import SOUND_STUDY
    from untied import save_untied

    model = cluster.folder / "model"
    if not model.is_dir():
        save_untied(model, max_position_embeddings=512)
        for file in model.iterdir():
            (bucket / "model" / file.name).put_file(file)
    told = {
        **SOUND_STUDY,
        "study": "spread",
        "models": {"m": {"path": f"{bucket}/model"}},
        "corpora": {"c": {"data": "starter:sft-neutral", "limit": 16}},
        "preferences": {"p": {"data": "starter:preference-oppose", "limit": 16}},
        "checkpoints": {"type": "log", "points": 2},
        "audit": None,
        "runtime": {"workers": 1, "threads": 1, "device": "cpu", "retry_delay_seconds": 0.1},
    }
    (bucket / "spread.yaml").put_bytes(yaml.safe_dump(told).encode())
    return f"{bucket}/spread.yaml"
