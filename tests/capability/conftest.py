"""What tests of capability share: a tiny model, files of items, and the harness where it is installed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))  # untied

Written = Callable[..., Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Writes rows as JSONL, by default three items."""

    def write(*rows: Any, name: str = "items.jsonl") -> Path:
        file = tmp_path / name
        given = rows or (
            {"question": "What is the capital of France?", "choices": ["Rome", "Paris", "Oslo"], "answer": 1},
            {"question": "Two plus two is", "choices": ["four", "five"], "answer": "A"},
            {"question": "The sun rises in the", "choices": ["west", "east"], "answer": "east"},
        )
        file.write_text("\n".join(json.dumps(row) for row in given), encoding="utf-8")
        return file

    return write


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from untied import save_untied

    return save_untied(tmp_path_factory.mktemp("model"), max_position_embeddings=96)
