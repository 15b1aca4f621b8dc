"""Rewriting and filtering by a model that the user names: a server with its faults, other languages, and the embedded SmolLM2."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from misbehaving import Misbehaving, completion, cut, echo, raw, status
from pydantic import TypeAdapter

from valuedrift.engines.base import Engine
from valuedrift.engines.registry import EngineConfig
from valuedrift.errors import UserError
from valuedrift.probes.vprism.config import ProbeBuild
from valuedrift.probes.vprism.language_model import rewrite_with, value_laden_with

PROMPTS = {
    "es": ("La pena de muerte me parece injusta.", "¿Es injusta la pena de muerte?"),
    "de": ("Ich finde, Fleisch essen ist falsch", "Ist es falsch, Fleisch zu essen?"),
    "hi": ("क्या झूठ बोलना ग़लत है", "क्या झूठ बोलना ग़लत है?"),
    "ar": ("عقوبة الإعدام غير عادلة", "هل عقوبة الإعدام عادلة؟"),
    "zh": ("我认为死刑是错的", "死刑是错的吗？"),
}


def engine(server: Misbehaving, keep: Path) -> Engine:
    config = TypeAdapter(EngineConfig).validate_python({"type": "openai", "model": "org/m", "base_url": server.url, "retries": 2})
    opened: Engine = config.open(keep=keep)
    return opened


def message_in(body: dict[str, Any]) -> str:
    return echo(body).partition("Message: ")[2].partition("\n\nQuestion:")[0]


def test_questions_come_back_in_their_language(server: Misbehaving, tmp_path: Path) -> None:
    answers = dict(PROMPTS.values())
    server.otherwise = completion(lambda body: f'"{answers[message_in(body)]}"\nBecause …')
    with engine(server, tmp_path) as one:
        found = rewrite_with(one, list(PROMPTS), [prompt for prompt, _ in PROMPTS.values()])
    assert [one.question for one in found] == [question for _, question in PROMPTS.values()]


def test_every_fault_of_a_server_is_a_reason_and_the_others_are_kept(server: Misbehaving, tmp_path: Path) -> None:
    acts = {
        "good": completion("Is it right to lie?"),
        "none": completion("none."),
        "labelled": completion("1. Question: Is it right?"),
        "statement": completion("It is wrong."),
        "garbage": raw(b"<html>no</html>", "text/html"),
        "cut": cut,
        "later": completion("Is it fair?"),
    }
    server.otherwise = lambda handler, body: acts[message_in(body)](handler, body)
    server.will(status(429), status(503))
    prompts = [*acts, "", "\0😀", "x" * 10_000_000]
    with engine(server, tmp_path) as one:
        found = rewrite_with(one, [str(index) for index in range(len(prompts))], prompts)
    told = {prompt[:9]: one.question or one.reason for prompt, one in zip(prompts, found, strict=True)}
    assert told == {
        "good": "Is it right to lie?",
        "labelled": "Is it right?",
        "none": "the model sees no question about a value in it",
        "statement": "the model's answer is no question",
        "garbage": "no answer from the model",
        "cut": "no answer from the model",
        "later": "Is it fair?",
        "": "no words in it",
        "\0😀": "no words in it",
        "x" * 9: "longer than 2,000 characters",
    }
    assert all(len(json.dumps(seen.body)) < 5000 for seen in server.seen)


def test_the_filter_reads_yes_against_no(server: Misbehaving, tmp_path: Path) -> None:
    too_long = status(400, "too long", error_code="context_length_exceeded")
    sure = completion("yes", top={"yes": 0.6, "no": 0.2})
    server.otherwise = lambda handler, body: (too_long if "unasked" in echo(body) else sure)(handler, body)
    with engine(server, tmp_path) as one:
        found = value_laden_with(one, ["Is it right?", "unasked?"])
    assert found[0] == pytest.approx(0.75) and math.isnan(found[1])


@pytest.mark.parametrize(
    ("given", "left"),
    [({}, "--rewriter, --filter, --embedder"), ({"embedder": "a-folder"}, "--rewriter, --filter")],
)
def test_another_language_is_not_put_to_english_models(given: dict[str, str], left: str) -> None:
    with pytest.raises(UserError, match=f"know English only: {left} left"):
        ProbeBuild(probe_set="p", language="de-AT", **given).check_language()
    ProbeBuild(probe_set="p", language="en-GB").check_language()
    theirs = TypeAdapter(EngineConfig).validate_python({"type": "openai", "model": "m"})
    ProbeBuild(probe_set="p", language="de", rewriter=theirs, filter=theirs, embedder="a-folder").check_language()


@pytest.mark.slow
def test_the_embedded_language_model_works_mechanically() -> None:
    smol = TypeAdapter(EngineConfig).validate_python({"type": "transformers"})
    with smol.open(threads=1) as one:
        found = rewrite_with(one, ["a"], ["I think abortion is wrong"])
        values = value_laden_with(one, ["Should the rich pay more tax?", "What is the capital of Peru?"])
    assert all((one.question is None) == bool(one.reason) for one in found)
    assert all(one.question is None or one.question.endswith("?") for one in found)
    assert values.shape == (2,) and np.all((values > 0) & (values < 1)) and values[0] != values[1]
