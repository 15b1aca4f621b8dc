"""Several judges as one: the mean over those that have a stance, statuses where none has, identity, and what it says of their agreement."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from valuedrift.errors import UserError
from valuedrift.judges.base import Judgement, Pair
from valuedrift.judges.config import JUDGE, CrossEncoder, Panel
from valuedrift.judges.files import judgements_frame
from valuedrift.judges.panel import combine, lacking, load_panel
from valuedrift.judges.weights import WEIGHTS_FILE, weights_folder
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
