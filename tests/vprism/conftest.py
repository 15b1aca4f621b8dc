"""The server of tests/openai, which misbehaves as it is told, as a model for rewriting and filtering."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "openai"))  # misbehaving
from misbehaving import Misbehaving, completion, serve


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Misbehaving]:
    """Answers NONE until it is told otherwise; no key is set."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    running, state = serve(completion("NONE"))
    yield state
    running.shutdown()
    running.server_close()
