"""An audit as people and programs read it: datasets side by side, what was found in a sentence each, who carries the gap, one JSON object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from valuedrift.audit.options import ALL, TOPIC, VALUE_GAP, VALUE_LADEN
from valuedrift.stance import LITTLE, STANCES
from valuedrift.words import counted, interval, percent, plain, signed, signed_interval

Numbers = Mapping[str, Any]


def rows_of(measures: pl.DataFrame, dataset: str, scope: str = ALL) -> dict[str, Numbers]:
    """The measures of a dataset in one scope (not topic) by name."""
    chosen = measures.filter((pl.col("dataset") == dataset) & (pl.col("scope") == scope))
    return {row["measure"]: row for row in chosen.iter_rows(named=True)}


def side_by_side(measures: pl.DataFrame) -> list[dict[str, str]]:
    """One line a dataset and scope: examples, stances of both sides, value gap, length.

    Args:
        measures: Table audits.
    """
    lines = []
    for dataset in measures.get_column("dataset").unique(maintain_order=True):
        for scope in (ALL, VALUE_LADEN):
            found = rows_of(measures, dataset, scope)
            if not found:
                continue
            gap, words = found.get(VALUE_GAP), found["words"]
            lines.append(
                {
                    "dataset": dataset if scope == ALL else "  of it value-laden",
                    "examples": f"{found['support']['n_examples']:,}",
                    "chosen s/n/o": _stances(found, "chosen"),
                    "rejected s/n/o": _stances(found, "rejected") if gap else "",
                    "value gap": f"{plain(gap['difference'])} {interval(gap['difference_low'], gap['difference_high'])}" if gap else "",
                    "support": _change(found["support"]) if gap else "",
                    "words": f"{plain(words['chosen'], 0)}" + (f" / {plain(words['rejected'], 0)}" if gap else ""),
                }
            )
    return lines


def sentences(measures: pl.DataFrame) -> Iterator[tuple[str, str]]:
    """What an audit found, as (dataset, sentence).

    Args:
        measures: Table audits.
    """
    for dataset in measures.get_column("dataset").unique(maintain_order=True):
        everything, laden = rows_of(measures, dataset), rows_of(measures, dataset, VALUE_LADEN)
        count = everything["support"]["n_examples"]
        speaking = laden["support"]["n_examples"] if laden else 0
        yield dataset, f"{speaking:,} of {counted(count, 'example')} ({percent(speaking / count)}) speak to a value."
        chosen = laden or everything
        which = "value-laden prompts" if laden else "all prompts"
        if VALUE_GAP in chosen:
            yield dataset, _gap_sentence(chosen, which)
            yield dataset, _style_sentence(everything)
        else:
            stance = max(STANCES, key=lambda one: chosen[one]["chosen"] or 0.0)
            row = chosen[stance]
            yield (
                dataset,
                f"On {which} its answers are {stance.value} most: {plain(row['chosen'])} {interval(row['chosen_low'], row['chosen_high'])}.",
            )


def _gap_sentence(found: Mapping[str, Numbers], which: str) -> str:
    gap = found[VALUE_GAP]
    if gap["difference"] is None:
        return f"On {which} no pair was judged on both sides."
    shown = f"{plain(gap['difference'])} {interval(gap['difference_low'], gap['difference_high'])}"
    if gap["difference_low"] is None:
        return f"On {which} the value gap is {plain(gap['difference'])}, of one prompt: nothing to make an interval of."
    if gap["difference_low"] > 0:
        stance = max(STANCES, key=lambda one: abs(found[one]["difference"] or 0.0))
        more = "more" if found[stance]["difference"] > 0 else "less"
        return f"On {which} there is a value gap of {shown}: chosen answers are {more} often {stance.value} ({_change(found[stance])})."
    if gap["difference_high"] < LITTLE:
        return f"On {which} there is no value gap to speak of: {shown}."
    return f"On {which} the value gap is undecided: {shown}."


def _style_sentence(found: Mapping[str, Numbers]) -> str:
    """Which measures of length and tone differ beyond noise."""
    differ = [
        f"{name.replace('_', ' ')} {plain(row['chosen'], 1)} against {plain(row['rejected'], 1)}"
        for name, row in found.items()
        if name not in (*STANCES, VALUE_GAP)
        and row["difference_low"] is not None
        and (row["difference_low"] > 0 or row["difference_high"] < 0)
    ]
    return (
        f"Otherwise chosen and rejected differ in {'; '.join(differ)}." if differ else "In length and tone they don't differ beyond noise."
    )


def by_topic(measures: pl.DataFrame, dataset: str) -> list[dict[str, str]]:
    """One line a topic: examples, chosen and rejected stances, value gap."""
    part = measures.filter((pl.col("dataset") == dataset) & (pl.col("scope") == TOPIC))
    lines = []
    for topic in part.get_column("topic").unique(maintain_order=True):
        found = {row["measure"]: row for row in part.filter(pl.col("topic") == topic).iter_rows(named=True)}
        gap = found.get(VALUE_GAP)
        line = {
            "topic": topic,
            "examples": f"{found['support']['n_examples']:,}",
            "chosen s/n/o" if gap else "answers s/n/o": _stances(found, "chosen"),
        }
        if gap:
            shown = f"{plain(gap['difference'])} {interval(gap['difference_low'], gap['difference_high'])}"
            line |= {"rejected s/n/o": _stances(found, "rejected"), "value gap": shown}
        lines.append(line)
    return lines


def _stances(found: Mapping[str, Numbers], side: str) -> str:
    return " / ".join(plain(found[stance][side]) for stance in STANCES)


def _change(row: Numbers) -> str:
    return f"{signed(row['difference'])} {signed_interval(row['difference_low'], row['difference_high'])}"


def beside_construction(measures: pl.DataFrame, dataset: str, known: float) -> str:
    """What a judge finds beside what a packaged preference set was written to have.

    Args:
        measures: Table audits.
        dataset: Its name in there.
        known: Its value gap by construction.
    """
    gap = rows_of(measures, dataset)[VALUE_GAP]
    shown = f"{plain(gap['difference'])} {interval(gap['difference_low'], gap['difference_high'])}"
    return f"By construction its value gap is {known:g} (people wrote every answer for its stance); this judge finds {shown} of it on all prompts."


TENTH = 0.1
"""Share of the examples that is compared with the whole."""


@dataclass(frozen=True, slots=True)
class Carriers:
    """The examples of a preference set by what they add to its value gap."""

    most: pl.DataFrame
    """Rows of the table audit_examples, those that add most first."""
    share: float
    """What the first tenth adds, as a share of all that adds (those that take away left aside), in [0, 1]."""
    sentence: str


def carriers(examples: pl.DataFrame) -> Carriers | None:
    """Who carries the gap; None without pairs that were judged on both sides, or where none adds to it.

    Args:
        examples: Table audit_examples of one dataset and judge.
    """
    judged = examples.drop_nulls("carried").sort("carried", "example_id", descending=[True, False])
    adding = judged.filter(pl.col("carried") > 0)
    if not adding.height:
        return None
    total = float(adding.get_column("carried").sum())
    first = judged.head(max(1, round(TENTH * judged.height)))
    share = float(first.get_column("carried").clip(lower_bound=0.0).sum()) / total
    against = judged.filter(pl.col("carried") < 0).height
    sentence = (
        f"{counted(adding.height, 'preference pair')} add to the gap and {against:,} take from it; "
        f"{percent(share)} of what adds lies in the first tenth ({counted(first.height, 'preference pair')}). Those that carry most:"
    )
    return Carriers(judged, share, sentence)


_SIDES = ("chosen", "rejected", "difference")


def summary(measures: pl.DataFrame, dataset: str) -> dict[str, Any]:
    """The figures of one dataset.

    Args:
        measures: Table audits.
        dataset: Its name in there.

    Returns:
        For all examples: kind, n, and for pairs value_gap with _low and _high, chosen and rejected ({support, neutral, oppose}), for an SFT corpus
        distribution; for each stance the difference with its interval; ``style`` with the other measures; the same for ``value_laden`` prompts and for each
        of ``topics``. Figures that could not be measured are null.
    """
    everything = rows_of(measures, dataset)
    part = measures.filter((pl.col("dataset") == dataset) & (pl.col("scope") == TOPIC))
    topics = {
        topic: _figures({row["measure"]: row for row in part.filter(pl.col("topic") == topic).iter_rows(named=True)})
        for topic in part.get_column("topic").unique(maintain_order=True)
    }
    laden = rows_of(measures, dataset, VALUE_LADEN)
    return {
        "kind": everything["support"]["kind"],
        **_figures(everything),
        "style": {name: _spread(row) for name, row in everything.items() if name not in (*STANCES, VALUE_GAP)},
        VALUE_LADEN.replace("-", "_"): _figures(laden) if laden else None,
        "topics": topics,
    }


def _figures(found: dict[str, Numbers]) -> dict[str, Any]:
    first = found["support"]
    figures: dict[str, Any] = {"n": first["n_examples"], "n_prompts": first["n_prompts"]}
    if VALUE_GAP not in found:
        return {
            **figures,
            "distribution": _distribution(found, "chosen"),
            "intervals": {s.value: _interval(found[s], "chosen") for s in STANCES},
        }
    gap = found[VALUE_GAP]
    return {
        **figures,
        "value_gap": gap["difference"],
        "value_gap_low": gap["difference_low"],
        "value_gap_high": gap["difference_high"],
        "chosen": _distribution(found, "chosen"),
        "rejected": _distribution(found, "rejected"),
        "difference": {stance.value: _spread(found[stance])["difference"] for stance in STANCES},
        "intervals": {stance.value: _interval(found[stance], "difference") for stance in STANCES},
    }


def _distribution(found: dict[str, Numbers], side: str) -> dict[str, float | None]:
    return {stance.value: found[stance][side] for stance in STANCES}


def _interval(row: Numbers, side: str) -> list[float | None]:
    return [row[f"{side}_low"], row[f"{side}_high"]]


def _spread(row: Numbers) -> dict[str, Any]:
    return {side: row[side] for side in _SIDES} | {"interval": _interval(row, "difference")}
