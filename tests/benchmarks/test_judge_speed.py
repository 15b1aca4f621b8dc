"""Judging in batches of similar length against one answer at a time, in one run."""

from __future__ import annotations

import time

import pytest

from valuedrift.judges.base import Pair
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.training.sources import issues


@pytest.mark.benchmark
def test_batches_against_one_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    judge = CrossEncoder().load()
    pairs = [Pair(issue.name, issue.wordings[0].text, answer.text) for issue in issues()[:60] for answer in issue.answers]
    judge.judge(pairs[:8])
    begun = time.perf_counter()
    alone = [judge.judge([pair])[0] for pair in pairs]
    naive = time.perf_counter() - begun
    begun = time.perf_counter()
    together = judge.judge(pairs)
    batched = time.perf_counter() - begun
    with capsys.disabled():
        print(
            f"\n{'judging':<22}{'answers/s':>10}\n{'one at a time':<22}{len(pairs) / naive:>10.1f}\n{'batched by length':<22}{len(pairs) / batched:>10.1f}"
        )
        print(f"{'ratio':<22}{naive / batched:>10.2f}")
    assert [one.status for one in alone] == [one.status for one in together]
    assert batched < naive
