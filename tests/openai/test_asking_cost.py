"""What `valuedrift plan` says of a judge behind a server, against what the server was really asked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from judging import tops
from misbehaving import Misbehaving, completion

from valuedrift.judges.base import Pair
from valuedrift.judges.openai import OpenAI

PROMPTS = ["Should taxes on the rich be raised?", "Is it right to ban cars from town centres, as some cities have done?"]


@pytest.mark.parametrize(("method", "rotations"), [("logprobs", 3), ("logprobs", 1), ("votes", 3)])
def test_requests_are_counted_as_the_server_sees_them(server: Misbehaving, tmp_path: Path, method: str, rotations: int) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("m: {input: 2.0, output: 8.0}", encoding="utf-8")
    config = OpenAI.model_validate(
        {"model": "m", "base_url": server.url, "method": method, "rotations": rotations, "budget": {"prices": str(prices)}}
    )
    server.otherwise = completion("A", top=tops())
    answers = [Pair(f"{at}-{draw}", prompt, f"{draw:04d}" + "yes " * 39) for at, prompt in enumerate(PROMPTS) for draw in range(4)]
    config.load(keep=tmp_path).judge(answers)
    cost = config.asking_cost(PROMPTS, answers=4, answer_tokens=40)
    assert cost.requests == len(server.seen)
    sent = sum(len(one.body["messages"][0]["content"]) for one in server.seen)
    replied = sum(one.body.get("n", 1) * one.body["max_tokens"] for one in server.seen)
    assert cost.tokens == pytest.approx(sent / 4 + replied, rel=0.02)
    assert cost.usd == pytest.approx((2.0 * (cost.tokens - replied) + 8.0 * replied) / 1e6)


def test_plan_tells_it_and_whether_the_budget_will_do(tmp_path: Path) -> None:
    study = {
        "study": "asked",
        "probes": {"topics": ["religion"], "per_topic": 10},
        "models": {"smollm": {"path": "embedded:smollm2-135m-instruct"}},
        "corpora": {"neutral": {"data": "starter:sft-neutral"}},
        "sft": [{"data": ["neutral"], "algorithm": {"type": "sft", "steps": 2}}],
        "checkpoints": {"type": "every", "n": 1},
        "sampling": {"n": 5, "max_new_tokens": 32},
        "judges": [{"type": "openai", "model": "m", "budget": {"tokens": 1000}}],
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    command = [sys.executable, "-m", "valuedrift.flows.cli.main", "plan", str(tmp_path / "study.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "judge openai: 450 requests at most" in done.stdout, done.stdout + done.stderr
    assert "its budget of 1,000 tokens may not be enough" in done.stdout
