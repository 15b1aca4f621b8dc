"""An algorithm of one's own is one class and one line: studies name it, plans estimate it, it trains and saves as the packaged ones do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from pydantic import Field, ValidationError
from tiny_training import SFT, finish, weights_bytes

from valuedrift.corpora.load import count_rows
from valuedrift.faults import describe
from valuedrift.study import Study, expand
from valuedrift.study.estimate import estimate
from valuedrift.training import sft
from valuedrift.training.algorithm import OfflineAlgorithm
from valuedrift.training.job import TrainJob
from valuedrift.training.registry import ALGORITHMS

STUDY = {
    "study": "own",
    "models": {"a": {"path": "embedded:x", "parameters": 1e8}},
    "corpora": {"c": {"data": "starter:sft-neutral"}},
    "preferences": {"p": {"data": "starter:preference-support"}},
    "sft": [{"data": ["c"], "algorithm": {"type": "sft", "steps": 1}}],
    "preference": [{"data": ["p"], "algorithm": {"type": "chosen", "steps": 4}}],
}


class Chosen(OfflineAlgorithm):
    """Learns the chosen answers of pairs, as if there were no others."""

    type: Literal["chosen"] = Field(default="chosen", description="Algorithm.")
    learning_rate: float = Field(default=1e-5, gt=0, description="Peak learning rate.")

    title = "Chosen"
    loss = "−E log π(y_w|x)"
    data = "pairs"
    when = "never"
    kind = "preference"

    def trainer(self, setup: Any, data: Any, keeper: Any) -> Any:
        def demonstration(row: dict[str, Any]) -> dict[str, Any]:
            prompt, answer = row["prompt_ids"], row["chosen_ids"]
            return {"input_ids": prompt + answer, "labels": [-100] * len(prompt) + answer}

        rows = data.map(demonstration, remove_columns=data.column_names)
        return sft.SFT(steps=setup.total, lora=self.lora).trainer(setup, rows, keeper)


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ALGORITHMS, "_known", dict(ALGORITHMS._known))
    ALGORITHMS.register(Chosen)
    yield


def test_without_the_line_it_is_not_known() -> None:
    with pytest.raises(ValidationError) as raised:
        Study.model_validate(STUDY)
    assert "`preference.0.algorithm.type`: no 'chosen'; one of sft, dpo, ipo, simpo, orpo, kto, ppo, grpo" in describe(raised.value, Study)


@pytest.mark.usefixtures("entered")
def test_a_study_names_it_and_its_plan_tells_it() -> None:
    study = Study.model_validate(STUDY)
    assert Study.model_validate_json(study.model_dump_json()) == study
    run = expand(study, count_rows).runs[-1]
    assert (run.run_id, run.kind, run.phase) == ("a.sft-c.chosen-p", "preference", "chosen")
    cost = estimate(run, study, 10)
    assert cost.training_tokens == 4 * 8 * 1024 and cost.memory_bytes == 16e8
    with pytest.raises(ValidationError, match="'chosen' belongs under `preference`"):
        Study.model_validate(STUDY | {"sft": [{"data": ["c"], "algorithm": {"type": "chosen", "steps": 4}}]})


@pytest.mark.usefixtures("entered")
def test_it_trains_and_saves_as_the_packaged_ones_do(job_of: Callable[..., TrainJob], tmp_path: Any) -> None:
    own = finish(job_of({**SFT, "type": "chosen"}))
    assert [checkpoint.step for checkpoint in own.checkpoints] == [0, 1, 3, 6]
    first, last = own.metrics[0].loss, own.metrics[-1].loss
    assert first is not None
    assert last is not None
    assert last < first - 0.3
    again = finish(job_of({**SFT, "type": "chosen"}, out=tmp_path / "again"))
    assert weights_bytes(own) == weights_bytes(again)
