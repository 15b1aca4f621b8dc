"""From judged examples to measures: what is counted, what is left out, and what carries a gap."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from valuedrift.audit.examples import Example, judged_frame, pairs_frame
from valuedrift.audit.measures import measure
from valuedrift.audit.options import MEASURES, AuditOptions
from valuedrift.audit.words import carriers, sentences, side_by_side, summary
from valuedrift.judges.base import Judgement
from valuedrift.judges.frames import judgements_frame
from valuedrift.stance import JudgeStatus
from valuedrift.storage.rules import conformed
from valuedrift.storage.schemas import table_schema

SUPPORT, NEUTRAL, OPPOSE = (0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.8)
REFUSAL = None
Side = tuple[float, float, float] | None


def judgement(p: Side) -> Judgement:
    return Judgement.without_stance(JudgeStatus.REFUSED) if p is None else Judgement(*p, 0.0, JudgeStatus.OK)


def audited(
    chosen: list[Side], rejected: list[Side] | None, laden: list[float] | None = None, topics: list[str | None] | None = None
) -> pl.DataFrame:
    n = len(chosen)
    examples = [Example(str(i), f"prompt {i}", "yes " * (i + 1), None if rejected is None else "no!", 1, None) for i in range(n)]
    assert pairs_frame(examples).height == n * (1 if rejected is None else 2)
    return judged_frame(
        examples, judgements_frame([judgement(p) for p in [*chosen, *(rejected or [])]]), laden or [1.0] * n, topics or [None] * n
    )


def rows(frame: pl.DataFrame, scope: str = "all", topic: str = "all") -> dict[str, dict[str, float]]:
    found = measure(frame, AuditOptions()).filter((pl.col("scope") == scope) & (pl.col("topic") == topic))
    return {row["measure"]: row for row in found.iter_rows(named=True)}


def test_a_preference_set_with_a_gap() -> None:
    found = rows(audited([SUPPORT] * 10, [OPPOSE] * 10))
    assert found["value_gap"]["difference"] == pytest.approx(0.7)
    assert found["support"]["chosen"] == pytest.approx(0.8) and found["support"]["rejected"] == pytest.approx(0.1)
    assert found["support"]["difference"] == pytest.approx(0.7) == -found["oppose"]["difference"]
    assert found["neutral"]["difference"] == pytest.approx(0.0)
    assert found["words"]["chosen"] == pytest.approx(5.5) and found["exclamations"]["difference"] == pytest.approx(-100.0)
    assert set(found) == set(MEASURES)


def test_an_sft_corpus_has_a_distribution_and_no_gap() -> None:
    found = rows(audited([NEUTRAL, NEUTRAL, SUPPORT], None))
    assert "value_gap" not in found
    assert found["neutral"]["chosen"] == pytest.approx((0.8 + 0.8 + 0.1) / 3)
    assert found["neutral"]["rejected"] is None and found["neutral"]["difference"] is None


def test_what_was_not_judged_counts_in_no_stance_and_is_shown() -> None:
    frame = audited([SUPPORT, SUPPORT, REFUSAL], [OPPOSE, REFUSAL, OPPOSE])
    found = rows(frame)
    assert found["support"]["chosen"] == pytest.approx(0.8)
    assert found["refused"]["chosen"] == found["refused"]["rejected"] == pytest.approx(1 / 3)
    assert found["value_gap"]["difference"] == pytest.approx(0.7), "from the one pair that has both sides"
    assert frame.get_column("carried").to_list() == [pytest.approx(0.7), None, None]


def test_prompts_that_speak_to_no_value_dilute_the_gap_only_in_the_scope_of_all() -> None:
    n = 8
    frame = audited(
        [SUPPORT] * n + [NEUTRAL] * n,
        [OPPOSE] * n + [NEUTRAL] * n,
        [0.9] * n + [0.1] * n,
        [*["religion"] * 4, *["race"] * 4, *["race"] * n],
    )
    assert rows(frame)["value_gap"]["difference"] == pytest.approx(0.35)
    assert rows(frame, "value-laden")["value_gap"]["difference"] == pytest.approx(0.7)
    assert rows(frame, "topic", "religion")["support"]["n_examples"] == 4
    assert rows(frame, "topic", "race")["support"]["n_examples"] == 4, "of the twelve on race four speak to a value"


def test_carried_adds_up_to_the_gap_and_names_the_carriers() -> None:
    rng = np.random.default_rng(5)
    chosen = [tuple(map(float, p)) for p in rng.dirichlet((5, 2, 2), 40)]
    rejected = [tuple(map(float, p)) for p in rng.dirichlet((2, 2, 5), 40)]
    frame = audited(chosen, rejected)  # type: ignore[arg-type]
    found = carriers(frame)
    assert found is not None
    assert frame.get_column("carried").mean() == pytest.approx(rows(frame)["value_gap"]["difference"])
    assert found.most.get_column("carried").is_sorted(descending=True)
    assert 0.1 < found.share < 1.0
    assert carriers(audited([NEUTRAL] * 3, [NEUTRAL] * 3)) is None


def test_nobody_judged_gives_missing_numbers_not_zeros() -> None:
    found = rows(audited([REFUSAL] * 3, [REFUSAL] * 3))
    assert found["value_gap"]["difference"] is None and found["support"]["chosen"] is None
    assert found["refused"]["chosen"] == 1.0


def test_measures_and_examples_fit_their_tables() -> None:
    examples = audited([SUPPORT, REFUSAL, NEUTRAL], [OPPOSE, OPPOSE, NEUTRAL])
    for table, frame in (
        ("audit_examples", examples),
        ("audits", measure(examples, AuditOptions()).with_columns(kind=pl.lit("preference"))),
    ):
        schema = table_schema(table)
        named = frame.with_columns(judge=pl.lit("j"), study=pl.lit("audit"), dataset=pl.lit("d"))
        shaped = named.select(pl.col(name).cast(kind) for name, kind in schema.polars.items())
        assert conformed(schema, shaped, {"study": "audit", "dataset": "d"}, where="test").height == frame.height


def test_words_and_json_tell_the_same() -> None:
    table = measure(audited([SUPPORT] * 30, [OPPOSE] * 30), AuditOptions()).with_columns(dataset=pl.lit("d"), kind=pl.lit("preference"))
    said = " ".join(sentence for _, sentence in sentences(table))
    assert "value gap of 0.70" in said and "more often support" in said and "30 of 30 examples" in said
    assert side_by_side(table)[0]["value gap"].startswith("0.70 [")
    told = summary(table, "d")
    assert (
        told["n"] == 30 and told["value_gap"] == pytest.approx(0.7) and told["value_gap_low"] <= told["value_gap"] <= told["value_gap_high"]
    )
    assert told["chosen"]["support"] == pytest.approx(0.8) and told["rejected"]["oppose"] == pytest.approx(0.8)
    none = measure(audited([NEUTRAL] * 400, [NEUTRAL] * 400), AuditOptions()).with_columns(dataset=pl.lit("d"))
    assert any("no value gap to speak of" in sentence for _, sentence in sentences(none))


@pytest.mark.parametrize("rejected", [None, [OPPOSE]], ids=["answers", "pairs"])
def test_one_prompt_has_figures_and_no_interval(rejected: list[Side] | None) -> None:
    frame = measure(audited([SUPPORT], rejected), AuditOptions())
    words = frame.filter((pl.col("measure") == "words") & (pl.col("scope") == "all")).row(0, named=True)
    assert words["chosen"] == 1.0 and words["chosen_low"] is None and words["chosen_high"] is None
    ends = frame.select(pl.col("^.*_(low|high)$"))
    assert all(column.null_count() == frame.height for column in ends)
    table = frame.with_columns(study=pl.lit("s"), dataset=pl.lit("d"), judge=pl.lit("j"), kind=pl.lit("sft"))
    conformed(table_schema("audits"), table.select(table_schema("audits").names), {"study": "s", "dataset": "d"}, "here")
    told = [sentence for _, sentence in sentences(table)]
    assert told and side_by_side(table) and summary(table, "d")["n"] == 1


def test_one_value_laden_row_among_many() -> None:
    found = rows(audited([NEUTRAL] * 10 + [SUPPORT], None, [0.1] * 10 + [0.9]), "value-laden")
    assert found["support"]["chosen"] == pytest.approx(0.8) and found["support"]["chosen_low"] is None
    assert found["words"]["chosen"] == 11.0 and found["words"]["chosen_high"] is None
    several = rows(audited([NEUTRAL] * 10 + [SUPPORT], None, [0.1] * 10 + [0.9]))
    assert several["words"]["chosen_low"] < several["words"]["chosen"] < several["words"]["chosen_high"] < float("inf")
