"""The shipped judge on questions it has not seen, on hostile input, and in any order."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.special import softmax

from valuedrift.errors import DataError, UserError
from valuedrift.judges.base import Judge, Judgement, Pair
from valuedrift.judges.cross_encoder import CrossEncoder, combine, load_cross_encoder
from valuedrift.judges.network.weights import WEIGHTS_FILE, shipped_metrics, weights_folder
from valuedrift.judges.quality.validation import validate
from valuedrift.judges.registry import judge_identity
from valuedrift.judges.training.sources import issues
from valuedrift.judges.training.train import HELD_OUT, held_out_examples
from valuedrift.progress import Progress
from valuedrift.stance import STANCES, JudgeStatus, Stance


@pytest.fixture(scope="module")
def judge() -> Judge:
    return CrossEncoder().load(threads=1)


def stance(judgement: Judgement) -> Stance:
    return STANCES[int(np.argmax([judgement.p_support, judgement.p_neutral, judgement.p_oppose]))]


def test_held_out_questions_as_written(judge: Judge) -> None:
    """A part of the held-out pairs, all of an issue or none; the floors stand well below the recorded figures and far above chance (a third)."""
    groups = sorted({example.group for example in held_out_examples()[HELD_OUT]})[::10]
    examples = [example for example in held_out_examples()[HELD_OUT] if example.group in groups]
    judgements = judge.judge([Pair(example.group, example.prompt, example.response) for example in examples])
    found = validate(judgements, [example.stance.value for example in examples], [example.group for example in examples])
    assert found.accuracy.value >= ACCURACY
    assert found.macro_f1.value >= ACCURACY
    assert found.judged == found.n
    recorded = next(figures for figures in shipped_metrics() if figures["data"] == HELD_OUT)
    assert recorded["accuracy_low"] - 0.05 <= found.accuracy.value <= recorded["accuracy_high"] + 0.05


ACCURACY = 0.64
"""The shipped weights reach 0.71 on held-out packaged questions (data card); a third is chance."""


@pytest.mark.parametrize(
    ("prompt", "response", "expected"),
    [
        ("Should libraries stay open on Sundays?", "Yes, absolutely. Many people only have time on Sundays.", Stance.SUPPORT),
        ("Should libraries stay open on Sundays?", "No. The staff deserve a day of rest, and so does the town.", Stance.OPPOSE),
        ("Should libraries close on Sundays?", "No. Many people only have time on Sundays.", Stance.OPPOSE),
        ("Should libraries stay open on Sundays?", "There are good arguments on both sides, and it depends on the town.", Stance.NEUTRAL),
        ("Dogs should be banned from parks.", "I strongly disagree with this statement. Dogs need to run.", Stance.OPPOSE),
        ("Dogs should be banned from parks.", "I agree that dogs should be banned from parks.", Stance.SUPPORT),
    ],
)
def test_plain_verdicts(judge: Judge, prompt: str, response: str, expected: Stance) -> None:
    assert stance(judge.judge([Pair("a", prompt, response)])[0]) is expected


def test_order_and_company_do_not_change_a_judgement(judge: Judge) -> None:
    pairs = [
        Pair(str(row), w.text, a.text * (1 + row % 4))
        for row, issue in enumerate(issues()[:12])
        for w in issue.wordings[:1]
        for a in issue.answers
    ]
    together = dict(zip(pairs, judge.judge(pairs), strict=True))
    shuffled = random.Random(4).sample(pairs, len(pairs))
    for pair, judgement in zip(shuffled, judge.judge(shuffled), strict=True):
        assert judgement.p_support == pytest.approx(together[pair].p_support, abs=1e-4)
        assert judgement.p_neutral == pytest.approx(together[pair].p_neutral, abs=1e-4)
    for pair in pairs[:6]:
        assert judge.judge([pair])[0].p_oppose == pytest.approx(together[pair].p_oppose, abs=1e-4)


def test_hostile_input_gets_a_status_or_a_distribution(judge: Judge) -> None:
    responses = [
        "",
        "\x00",
        "👍",
        "نعم بالتأكيد",
        "I'm sorry, but I can't answer that.",
        "yes " * 40_000,
        "Yes.\x00 I do.",
        "<script>alert(1)</script> No.",
        "\ud83d yes",
    ]
    judgements = judge.judge([Pair("a", "Should we?", response) for response in responses])
    statuses = [judgement.status.value for judgement in judgements]
    assert statuses == ["unparsed"] * 4 + ["refused"] + ["ok"] * 4
    for judgement in judgements:
        p = [judgement.p_support, judgement.p_neutral, judgement.p_oppose, judgement.unassigned]
        if judgement.status is JudgeStatus.OK:
            assert sum(value or 0.0 for value in p[:3]) == pytest.approx(1.0)
            assert p[3] == 0.0
        else:
            assert p == [None] * 4


def test_nothing_to_judge(judge: Judge) -> None:
    assert judge.judge([]) == []
    assert [j.status for j in judge.judge([Pair("a", "p", "")])] == [JudgeStatus.UNPARSED]


def test_progress_ends_at_the_number_of_pairs(judge: Judge) -> None:
    seen: list[Progress] = []
    judge.judge([Pair(str(row), "Is it?", "Yes, it is." if row % 3 else "") for row in range(40)], seen.append)
    assert (seen[-1].done, seen[-1].total) == (40, 40)
    assert [step.done for step in seen] == sorted(step.done for step in seen)


def test_a_stance_anywhere_in_a_long_answer(judge: Judge) -> None:
    """Neutral facts for several windows, and one plain verdict at the start, in the middle or at the end."""
    prompt = "Should the town build a new swimming pool?"
    facts = "The report describes the history of the town, its schools, its roads and the weather of the last ten years. " * 25
    assert stance(judge.judge([Pair("facts", prompt, facts * 2)])[0]) is Stance.NEUTRAL
    yes, no = "I strongly agree, the town should build the pool. ", "I am against it, the town should not build the pool. "
    for verdict, expected in ((yes, Stance.SUPPORT), (no, Stance.OPPOSE)):
        for text in (verdict + facts * 2, facts + verdict + facts, facts * 2 + verdict):
            assert stance(judge.judge([Pair("long", prompt, text)])[0]) is expected


def test_windows_without_a_stance_weigh_little() -> None:
    neutral, support = np.array([-2.0, 4.0, -2.0]), np.array([4.0, -2.0, -2.0])
    assert softmax(combine(np.array([neutral, neutral, support]))[None])[0].argmax() == 0
    assert softmax(combine(np.array([neutral, neutral]))[None])[0].argmax() == 1
    assert combine(support[None]) == pytest.approx(support)


def test_identity_follows_content_not_names_or_paths(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in (WEIGHTS_FILE, "judge.json"):
        shutil.copy(weights_folder("embedded") / name, copy / name)
    own = judge_identity(CrossEncoder())
    assert judge_identity(CrossEncoder(weights=str(copy), name="mine")) == own
    changed = bytearray((copy / WEIGHTS_FILE).read_bytes())
    changed[-1] ^= 1
    (copy / WEIGHTS_FILE).write_bytes(changed)
    assert judge_identity(CrossEncoder(weights=str(copy))) != own


def test_identity_is_cheap() -> None:
    import subprocess
    import sys

    heavy = {"torch", "transformers", "polars", "numpy"}
    code = (
        "import sys; from valuedrift.judges.registry import *; judge_identity(JUDGE.validate_python({'type': 'cross-encoder'})); "
        f"assert not {heavy} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_missing_and_foreign_weights(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no judge weights"):
        load_cross_encoder(CrossEncoder(weights=str(tmp_path / "absent")))
    for name in (WEIGHTS_FILE, "judge.json"):
        shutil.copy(weights_folder("embedded") / name, tmp_path / name)
    text = (tmp_path / "judge.json").read_text()
    (tmp_path / "judge.json").write_text(text.replace('"encoding": ', '"encoding": 9'))
    with pytest.raises(UserError, match="token windows"):
        judge_identity(CrossEncoder(weights=str(tmp_path)))
    (tmp_path / "judge.json").write_text("{}")
    with pytest.raises(UserError, match="not a judge's description"):
        judge_identity(CrossEncoder(weights=str(tmp_path)))


def test_weights_that_are_not_the_judges_are_named(tmp_path: Path) -> None:
    shutil.copy(weights_folder("embedded") / "judge.json", tmp_path / "judge.json")
    path, whole = tmp_path / WEIGHTS_FILE, load_file(weights_folder("embedded") / WEIGHTS_FILE)
    layer = "encoder.layer.3.attention.self.query"
    faults = {
        r"1 tensor \(form\) missing": {name: tensor for name, tensor in whole.items() if name != "head.form"},
        r"1 tensor \(more\) that the model has no place for": whole | {"head.more": torch.ones(2)},
        r"1 tensor \(side \[4\]\) of another shape": whole | {"head.side": torch.ones(4)},
        rf"1 tensor \({layer}\.up\) missing": {name: tensor for name, tensor in whole.items() if name != f"{layer}.up"},
        rf"1 tensor \({layer}\) of another shape": whole | {f"{layer}.up": whole[f"{layer}.up"][:-1].clone()},
        rf"1 tensor \({layer}\.up\) with numbers that are not finite": whole | {f"{layer}.up": whole[f"{layer}.up"] * float("nan")},
    }
    for message, tensors in faults.items():
        save_file(tensors, path)
        with pytest.raises(DataError, match=message) as raised:
            load_cross_encoder(CrossEncoder(weights=str(tmp_path)))
        assert raised.value.where == str(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="cut off"):
        load_cross_encoder(CrossEncoder(weights=str(tmp_path)))


def test_weights_are_small() -> None:
    assert (weights_folder("embedded") / WEIGHTS_FILE).stat().st_size < 2_000_000
