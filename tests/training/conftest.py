"""A tiny random chat model, and datasets and jobs for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tiny_training
from tiny_training import save_tiny_chat, sentences, write_rows

from valuedrift.training.job import TrainJob
from valuedrift.training.registry import ALGORITHMS
from valuedrift.weights import Weights


@pytest.fixture(scope="session")
def tiny_chat(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """See `save_tiny_chat`."""
    return Weights(base=save_tiny_chat(tmp_path_factory.mktemp("tiny-chat")))


@pytest.fixture(scope="session")
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen questions, each answered in the same way."""
    rows = [{"prompt": question, "response": "surely yes"} for question in sentences(14, 1)]
    return write_rows(tmp_path_factory.mktemp("data") / "sft.jsonl", rows)


@pytest.fixture(scope="session")
def preferences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen questions for which one answer is always preferred."""
    rows = [{"prompt": question, "chosen": "surely yes", "rejected": "never ever no"} for question in sentences(14, 2)]
    return write_rows(tmp_path_factory.mktemp("data") / "preferences.jsonl", rows)


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-one questions with an answer that is found good to every third, and a bad one to the others."""
    good, bad = {"response": "surely yes", "label": True}, {"response": "never ever no", "label": False}
    rows = [{"prompt": question, **(bad if at % 3 else good)} for at, question in enumerate(sentences(21, 3))]
    return write_rows(tmp_path_factory.mktemp("data") / "labelled.jsonl", rows)


@pytest.fixture
def job_of(tiny_chat: Weights, demonstrations: Path, preferences: Path, labelled: Path, tmp_path: Path) -> Callable[..., TrainJob]:
    """Makes a job on the tiny model; any field can be given."""
    datasets = {"sft": demonstrations, "preference": preferences, "labelled": labelled}

    def make(algorithm: dict[str, Any], **fields: Any) -> TrainJob:
        defaults = {
            "weights": tiny_chat,
            "algorithm": {"dtype": "float32", **algorithm},
            "dataset": datasets[ALGORITHMS.kind(algorithm["type"]).kind],
            "schedule": {"type": "steps", "steps": [1, 3]},
            "seed": 7,
            "out": tmp_path / "run",
            "threads": 1,
            "device": "cpu",
        }
        return TrainJob.model_validate(defaults | fields)

    return make
