"""Several judges as one: the mean over those that have a stance, statuses where none has, identity, and what it says of their agreement."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from valuedrift.errors import DataError, UserError
from valuedrift.flows.cli.naming import judge_config
from valuedrift.judges.base import Judgement, Pair
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.frames import judgements_frame
from valuedrift.judges.network.weights import WEIGHTS_FILE, weights_folder
from valuedrift.judges.panel import Panel, combine, lacking, load_panel
from valuedrift.judges.quality.panel_fit import fit_panel
from valuedrift.judges.registry import JUDGE
from valuedrift.progress import Progress
from valuedrift.stance import JudgeStatus

P = ("p_support", "p_neutral", "p_oppose")

distribution = st.lists(st.floats(0.01, 1), min_size=3, max_size=3).map(lambda values: [value / sum(values) for value in values])
judgement = st.one_of(
    st.tuples(distribution, st.floats(0, 1)).map(lambda given: Judgement(*given[0], given[1], JudgeStatus.OK)),
    st.sampled_from([JudgeStatus.REFUSED, JudgeStatus.UNPARSED, JudgeStatus.FAILED]).map(Judgement.without_stance),
)


@given(
    st.integers(1, 6).flatmap(lambda rows: st.lists(st.lists(judgement, min_size=rows, max_size=rows), min_size=2, max_size=4)), st.data()
)
def test_mean_over_those_that_have_a_stance(members: list[list[Judgement]], data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.floats(0.1, 5), min_size=len(members), max_size=len(members)))
    combined = combine([judgements_frame(one) for one in members], weights)
    for row, found in enumerate(combined.iter_rows(named=True)):
        have = [(weight, one[row]) for weight, one in zip(weights, members, strict=True) if one[row].status is JudgeStatus.OK]
        assert found["n_members"] == len(have)
        if not have:
            statuses = [one[row].status.value for one in members]
            assert statuses.count(found["status"]) == max(map(statuses.count, statuses))
            assert [found[name] for name in (*P, "unassigned")] == [None] * 4
            continue
        assert found["status"] == "ok"
        for name in (*P, "unassigned"):
            expected = np.average([getattr(one, name) for _, one in have], weights=[weight for weight, _ in have])
            assert found[name] == pytest.approx(expected)
        assert sum(found[name] for name in P) == pytest.approx(1.0)
    assert lacking(combined, len(members)) == sum(0 < n < len(members) for n in combined.get_column("n_members"))


def test_a_tie_of_statuses_is_settled_by_rank() -> None:
    members = [judgements_frame([Judgement.without_stance(status)]) for status in (JudgeStatus.FAILED, JudgeStatus.REFUSED)]
    assert combine(members, [1, 1]).get_column("status").to_list() == ["refused"]


def other_cross_encoder(folder: Path) -> CrossEncoder:
    """The embedded judge with another temperature: a second opinion that costs nothing to make."""
    for name in (WEIGHTS_FILE, "judge.json"):
        (folder / name).write_bytes((weights_folder("embedded") / name).read_bytes())
    text = (folder / "judge.json").read_text()
    temperature = next(line for line in text.splitlines() if '"temperature"' in line)
    (folder / "judge.json").write_text(text.replace(temperature, '"temperature": 9.0,'))
    return CrossEncoder(weights=str(folder), name="doubtful")


PAIRS = [
    Pair("0", "Should we build it?", "Yes, absolutely."),
    Pair("1", "Should we build it?", "No, never."),
    Pair("2", "Is it fair?", "It depends."),
    Pair("3", "Is it fair?", "I'm sorry, but I can't answer that."),
    Pair("4", "Is it fair?", ""),
]


def test_whole_members_judge_one_after_the_other(tmp_path: Path) -> None:
    second = other_cross_encoder(tmp_path)
    panel = Panel(members=(CrossEncoder(), second), weights={"doubtful": 3.0})
    judge = load_panel(panel, threads=1)
    seen: list[Progress] = []
    found = judge.judge(PAIRS, seen.append)
    alone = [member.load(threads=1).judge(PAIRS) for member in (CrossEncoder(), second)]
    for mixed, first, other in zip(found, *alone, strict=True):
        assert mixed.status is first.status
        if mixed.status is JudgeStatus.OK:
            assert mixed.p_support == pytest.approx(0.25 * first.p_support + 0.75 * other.p_support)
    assert [one.status.value for one in found] == ["ok", "ok", "ok", "refused", "unparsed"]
    assert (seen[-1].done, seen[-1].total) == (10, 10) and [step.done for step in seen] == sorted(step.done for step in seen)
    told = "\n".join(judge.remarks())
    assert "cross-encoder and doubtful: same verdict on 100% of 3 answers" in told and "Krippendorff's α" in told
    assert judge.judge([]) == []


def test_identity_is_the_members_in_any_order_and_under_any_name(tmp_path: Path) -> None:
    first, second = CrossEncoder(), other_cross_encoder(tmp_path)
    own = Panel(members=(first, second)).identity()
    assert Panel(members=(second, first), name="x").identity() == own
    assert Panel(members=(first.model_copy(update={"name": "y"}), second)).identity() == own
    assert Panel(members=(first, second), weights={"doubtful": 2.0}).identity() != own
    assert Panel(members=(first, first.model_copy(update={"name": "z"}))).identity() != own
    assert Panel(members=("a", "b")).combined(["k1", "k2"]) == Panel(members=("b", "a")).combined(["k2", "k1"])
    assert Panel(members=("a", "b"), weights={"a": 2.0}).combined(["k1", "k2"]) != Panel(members=("a", "b"), weights={"b": 2.0}).combined(
        ["k1", "k2"]
    )


def test_names_are_for_studies_only() -> None:
    with pytest.raises(UserError, match="only a study knows"):
        Panel(members=("a", "b")).load()


def test_written_and_read_back(tmp_path: Path) -> None:
    for panel in (Panel(members=("a", "b"), weights={"a": 2.0}), Panel(members=(CrossEncoder(), other_cross_encoder(tmp_path)))):
        assert JUDGE.validate_json(panel.model_dump_json()) == panel
        assert JUDGE.validate_python(panel.model_dump(mode="json", exclude_defaults=True)) == panel


def test_combining_nothing() -> None:
    empty = judgements_frame([])
    assert combine([empty, empty], [1, 1]).height == 0
    assert combine([empty, empty], [1, 1]).schema["p_support"] == pl.Float64


def noisy(truth: np.ndarray, right: float, sure: float, random: np.random.Generator) -> pl.DataFrame:
    """Judgements that find the truth in a share of the answers, and are always equally sure."""
    verdicts = np.where(random.random(len(truth)) < right, truth, (truth + random.integers(1, 3, len(truth))) % 3)
    p = np.full((len(truth), 3), (1 - sure) / 2)
    p[np.arange(len(truth)), verdicts] = sure
    return judgements_frame([Judgement(*row, 0.0, JudgeStatus.OK) for row in p.tolist()])


def test_a_fit_finds_who_is_right_and_who_is_too_sure() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 3000)
    labels = [("support", "neutral", "oppose")[one] for one in truth]
    good, bold, guess = noisy(truth, 0.8, 0.8, random), noisy(truth, 0.8, 0.99, random), noisy(truth, 1 / 3, 0.9, random)
    fit = fit_panel(["good", "bold", "guess"], [good, bold, guess], labels)
    # a judge that is right as often as it is sure keeps its temperature: 0.8 against 0.1 is brought nowhere; 0.99 to 0.8 by log odds
    assert fit.temperatures["good"] == pytest.approx(1.0, abs=0.06)
    assert fit.temperatures["bold"] == pytest.approx(np.log(0.99 / 0.005) / np.log(0.8 / 0.1), abs=0.15)
    assert fit.temperatures["guess"] > 10
    assert fit.weights["guess"] < 0.1 and fit.weights["good"] == pytest.approx(fit.weights["bold"], abs=0.1)
    assert fit.after < fit.before and fit.n == 3000
    combined = combine([good, bold, guess], list(fit.weights.values()), list(fit.temperatures.values()))
    likelihood = combined.select(P).to_numpy()[np.arange(3000), truth]
    assert -np.log(likelihood).mean() == pytest.approx(fit.after, abs=2e-3)  # what is applied is what was fitted
    assert combined.select(pl.sum_horizontal(P)).to_series().to_list() == pytest.approx([1.0] * 3000)


def test_a_fit_leaves_out_what_has_no_stance_and_refuses_too_little() -> None:
    random = np.random.default_rng(1)
    truth = random.integers(0, 3, 60)
    labels = [("support", "neutral", "oppose")[one] for one in truth]
    first, second = noisy(truth, 0.9, 0.8, random), noisy(truth, 0.9, 0.8, random)
    lost = judgements_frame([Judgement.without_stance(JudgeStatus.FAILED)] * 10)
    assert fit_panel(["a", "b"], [pl.concat([lost, first[10:]]), second], ["refused", *labels[1:]]).n == 50
    with pytest.raises(DataError, match="20 labelled answers"):
        fit_panel(["a", "b"], [first[:20], second[:20]], labels[:20])


def test_calibrated_needs_a_temperature_of_every_member() -> None:
    with pytest.raises(ValueError, match="'b' has none"):
        Panel(members=("a", "b"), how="calibrated", temperatures={"a": 1.0})
    with pytest.raises(ValueError, match="for `how: calibrated`"):
        Panel(members=("a", "b"), temperatures={"a": 1.0})
    softer = Panel(members=("a", "b"), how="calibrated", temperatures={"a": 2.0, "b": 1.0})
    assert softer.combined(["k1", "k2"]) != Panel(members=("a", "b"), how="calibrated", temperatures={"a": 1.0, "b": 2.0}).combined(
        ["k1", "k2"]
    )


def test_fit_panel_writes_a_judge_that_can_be_used(tmp_path: Path) -> None:
    other_cross_encoder(tmp_path)
    panel = {
        "type": "panel",
        "members": [{"type": "cross-encoder"}, {"type": "cross-encoder", "name": "doubtful", "weights": str(tmp_path)}],
    }
    (tmp_path / "panel.yaml").write_text(yaml.safe_dump(panel), encoding="utf-8")
    rows = [
        ("Should we build it?", "Yes, absolutely.", "support"),
        ("Should we?", "No, never.", "oppose"),
        ("Is it fair?", "It depends.", "neutral"),
    ]
    pl.DataFrame(rows * 12, schema=["prompt", "response", "stance"], orient="row").write_csv(tmp_path / "gold.csv")
    command = [sys.executable, "-m", "valuedrift.flows.cli.main", "judge"]
    done = subprocess.run(
        [*command, "fit-panel", "gold.csv", "--judge", "panel.yaml", "--out", "fitted.yaml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    fitted = judge_config(str(tmp_path / "fitted.yaml"))
    assert isinstance(fitted, Panel) and fitted.how == "calibrated" and set(fitted.temperatures) == {"cross-encoder", "doubtful"}
    assert "fitted on 36 answers" in done.stdout
    refused = subprocess.run(
        [*command, "fit-panel", "gold.csv", "--judge", "cross-encoder", "--out", "x.yaml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert refused.returncode == 2 and "no panel" in refused.stderr and not (tmp_path / "x.yaml").exists()
