from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from misbehaving import Misbehaving, completion, echo, raw, status
from pydantic import TypeAdapter

from valuedrift.engines.base import Engine
from valuedrift.engines.registry import EngineConfig
from valuedrift.errors import StageError, UserError
from valuedrift.sampling import Prompt, Sampling
from valuedrift.thoughts import ThoughtTags

PROMPTS = [Prompt(f"p{at}", f"Question {at}?") for at in range(4)]


def engine(server: Misbehaving, keep: Path, **settings: Any) -> Engine:
    config = TypeAdapter(EngineConfig).validate_python(
        {"type": "openai", "model": "org/writer", "base_url": server.url, "retries": 0, **settings}
    )
    opened: Engine = config.open(keep=keep)
    return opened


def drawn(body: dict[str, Any]) -> str:
    """A server that draws by the seed."""
    return f"{echo(body)} {body.get('seed')}"


def test_draws_depend_on_prompt_index_and_seed_alone(server: Misbehaving, tmp_path: Path) -> None:
    server.otherwise = completion(drawn)
    with engine(server, tmp_path / "a") as one:
        whole = one.sample(PROMPTS, Sampling(n=3))
    with engine(server, tmp_path / "b", concurrency=1) as other:
        parts = [*other.sample(PROMPTS[2:], Sampling(n=3)), *other.sample(PROMPTS[1::-1], Sampling(n=2))]
        reseeded = other.sample(PROMPTS[:1], Sampling(n=1, seed=1))
    by_place = {(response.prompt_id, response.sample_idx): response for response in whole}
    assert [(response.prompt_id, response.sample_idx) for response in whole] == [(f"p{at}", draw) for at in range(4) for draw in range(3)]
    assert all(by_place[response.prompt_id, response.sample_idx] == response for response in parts)
    assert len({response.response for response in whole}) == 12
    assert reseeded[0].response != whole[0].response
    body = server.seen[0].body
    assert (body["temperature"], body["max_tokens"], "top_p" in body) == (0.7, 256, False)
    assert 0 <= body["seed"] < 2**31


def test_a_finished_sampling_asks_nothing(server: Misbehaving, tmp_path: Path) -> None:
    server.otherwise = completion(drawn)
    for _ in range(2):
        with engine(server, tmp_path) as one:
            one.sample(PROMPTS, Sampling(n=2))
    assert len(server.seen) == 8
    assert [path.name for path in tmp_path.iterdir()] == ["engine-org-writer.sqlite"]


def test_without_seeds_draws_are_still_several(server: Misbehaving, tmp_path: Path) -> None:
    with engine(server, tmp_path, send_seed=False) as one:
        one.sample(PROMPTS[:1], Sampling(n=3, top_p=0.9))
    assert len(server.seen) == 3
    assert {("seed" in seen.body, seen.body["top_p"]) for seen in server.seen} == {(False, 0.9)}


def test_greedy_answers_are_asked_once(server: Misbehaving, tmp_path: Path) -> None:
    with engine(server, tmp_path) as one:
        assert len(one.sample(PROMPTS[:1], Sampling(n=3, temperature=0))) == 3
    assert len(server.seen) == 1


def test_an_answer_that_never_comes_is_failed_and_the_others_are_kept(server: Misbehaving, tmp_path: Path) -> None:
    server.otherwise = lambda handler, body: (raw(b"<html>") if "2" in echo(body) else completion("fine thing"))(handler, body)
    seen: list[tuple[int, int]] = []
    with engine(server, tmp_path) as one:
        found = one.sample(PROMPTS, Sampling(n=1), lambda done, total: seen.append((done, total)))
    assert [(response.response, response.finish_reason, response.n_tokens) for response in found] == [
        ("fine thing", "stop", 2),
        ("fine thing", "stop", 2),
        ("", "failed", 0),
        ("fine thing", "stop", 2),
    ]
    assert seen[-1] == (4, 4)


def test_thoughts_are_told_apart_whoever_does_it(server: Misbehaving, tmp_path: Path) -> None:
    def one_of(content: str | None, **message: Any) -> None:
        choice = {"message": {"role": "assistant", "content": content, **message}, "finish_reason": "stop"}
        server.otherwise = raw(json.dumps({"choices": [choice]}).encode(), "application/json")

    def drawn(name: str, sampling: Sampling = Sampling(n=1)) -> tuple[str | None, str]:  # noqa: B008  # frozen
        with engine(server, tmp_path) as one:
            [response] = one.sample([Prompt(name, name)], sampling)
        return response.reasoning, response.response

    own = Sampling(n=1, thoughts=ThoughtTags(open="<plan>", close="</plan>", begun=True))
    one_of("<think>Yes.</think>\n\nNo.")
    assert drawn("tags") == ("Yes.", "No.")
    one_of("No.", reasoning_content="Yes.")
    assert drawn("apart") == ("Yes.", "No.")
    assert drawn("apart, though the template opens it", own) == ("Yes.", "No.")
    one_of(None, reasoning="Yes, but")
    assert drawn("unfinished") == ("Yes, but", "")
    one_of("Yes, but")
    assert drawn("opened by the template and unfinished", own) == ("Yes, but", "")
    one_of("Yes.</plan>No.")
    assert drawn("opened by the template", own) == ("Yes.", "No.")
    one_of("No.", reasoning={"of another": "shape"})
    assert drawn("plain") == (None, "No.")
    with engine(server, tmp_path) as one:
        one.sample([Prompt("long", "long")], Sampling(n=1, max_new_tokens=10, max_thought_tokens=90))
    assert server.seen[-1].body["max_tokens"] == 100


def test_equal_ids_and_a_dead_server_are_told(server: Misbehaving, tmp_path: Path) -> None:
    with engine(server, tmp_path) as one:
        with pytest.raises(UserError, match="equal prompt ids"):
            one.sample([PROMPTS[0], PROMPTS[0]], Sampling(n=1))
        server.otherwise = status(500)
        with pytest.raises(StageError, match="no usable answer"):
            one.sample(PROMPTS, Sampling(n=1))


def test_scores_are_the_servers_logprobs(server: Misbehaving, tmp_path: Path) -> None:
    server.otherwise = completion("A", top={"Yes": 0.6, "no": 0.25, " yes": 0.1, "x": 0.02})
    with engine(server, tmp_path) as one:
        scores = one.score(["Question?", "Other?"], [" yes", " no", "maybe"])
    assert scores.shape == (2, 3)
    assert scores[0] == pytest.approx([math.log(p) for p in (0.7, 0.25, 0.02)])
    assert np.array_equal(scores[0], scores[1])


def test_scores_that_cannot_be_had_are_told(server: Misbehaving, tmp_path: Path) -> None:
    with engine(server, tmp_path) as one, pytest.raises(UserError, match="no log-probabilities"):
        one.score(["Question?"], ["A"])
    server.otherwise = completion("A", top={"sup": 0.9, "B": 0.1})
    with engine(server, tmp_path / "2") as one, pytest.raises(UserError, match="'support' is more than one token"):
        one.score(["Question?"], ["support", "B"])


def test_a_text_that_the_server_cannot_take_is_nan(server: Misbehaving, tmp_path: Path) -> None:
    too_long = status(400, "too long", error_code="context_length_exceeded")
    server.otherwise = lambda handler, body: (too_long if "long" in echo(body) else completion("A", top={"A": 1.0}))(handler, body)
    with engine(server, tmp_path) as one:
        scores = one.score(["short", "long"], ["A"])
    assert scores[0, 0] == pytest.approx(0.0) and np.isnan(scores[1, 0])


def test_identity_is_the_model_as_it_is_named(server: Misbehaving) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(EngineConfig)
    plain = adapter.validate_python({"type": "openai", "model": "m"})
    moved = adapter.validate_python({"type": "openai", "model": "m", "base_url": server.url, "concurrency": 1})
    assert plain.identity() == moved.identity()
    assert plain.identity() != adapter.validate_python({"type": "openai", "model": "m", "revision": "q4"}).identity()
