"""A local model as judge: shared beginnings in batches, against one prompt after the other, in one run."""

from __future__ import annotations

import time

import pytest

from valuedrift.judges.base import Pair
from valuedrift.judges.causal_lm import CausalLM, CausalLMJudge, load_causal_lm_judge
from valuedrift.judges.prompted import judge_prompts
from valuedrift.judges.training.sources import issues


@pytest.mark.benchmark
@pytest.mark.slow
def test_shared_beginnings_against_one_prompt_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    judge = load_causal_lm_judge(CausalLM())
    # answers of about the length of a model's
    pairs = [Pair(issue.name, issue.wordings[0].text, " ".join(answer.text for answer in issue.answers)) for issue in issues()[:6]]
    judge.judge(pairs[:2])
    naive = _seconds(
        lambda: [
            judge._engine.score([prompt.text], ["A", "B", "C"]) for pair in pairs for prompt in judge_prompts(pair.prompt, pair.response)
        ]
    )
    batched = _seconds(lambda: _unshared(judge, pairs))
    shared = _seconds(lambda: judge.judge(pairs))
    with capsys.disabled():
        print(f"\n{'causal-lm, 3 orders':<30}{'answers/s':>10}{'ratio':>8}")
        for name, seconds in (("one prompt at a time", naive), ("in batches", batched), ("batches, shared beginnings", shared)):
            print(f"{name:<30}{len(pairs) / seconds:>10.2f}{naive / seconds:>8.2f}")
    assert shared < naive / 1.5


def _seconds(work: object) -> float:
    """CPU time of the process, which other programs on the machine change little."""
    begun = time.process_time()
    work()  # type: ignore[operator]
    return time.process_time() - begun


def _unshared(judge: CausalLMJudge, pairs: list[Pair]) -> None:
    judge._engine.score([prompt.text for pair in pairs for prompt in judge_prompts(pair.prompt, pair.response)], ["A", "B", "C"])
