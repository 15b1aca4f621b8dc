"""Judges beside each other on labelled answers, as tables for the terminal and as a page of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from valuedrift.judges.quality.comparison import Comparison
from valuedrift.judges.quality.resampled import Figure
from valuedrift.report.page import environment, page_style
from valuedrift.words import interval, plain, probability, signed, signed_interval

Head = tuple[str, ...]
Rows = list[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class JudgesPage:
    """What is told of judges that were compared.

    Attributes:
        data: What they were measured on, in a few words.
        comparison: Their figures and differences.
        speeds: Answers a second, by judge; those that judged now.
        prices: US dollars of a thousand answers, by judge; those whose price is known.
        remarks: What to know of the labels.
    """

    data: str
    comparison: Comparison
    speeds: Mapping[str, float]
    prices: Mapping[str, float]
    remarks: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What to know of labels and figures."""
        return [*self.remarks, *self.comparison.notes]

    def tables(self, *, narrow: bool = False) -> Iterator[tuple[Head, Rows]]:
        """Head and rows of each table: figures, by class, calibration and cost, differences.

        Args:
            narrow: Without the intervals of single classes, so that no table is wider than eighty columns.
        """
        judges = self.comparison.judges
        told = (lambda figure: plain(figure.value)) if narrow else _with_interval
        figures: Rows = [(name, *map(_with_interval, (one.accuracy, one.macro_f1, one.kappa))) for name, one in judges.items()]
        yield ("judge", "accuracy", "macro-F1", "κ"), figures
        labels = list(dict.fromkeys(label for one in judges.values() for label in one.classes))
        recall: Rows = [
            (name, *(f"{told(one.classes[label].recall)} of {one.classes[label].n}" for label in labels)) for name, one in judges.items()
        ]
        yield ("right of what is", *labels), recall
        f1: Rows = [(name, *(told(one.classes[label].f1) for label in labels)) for name, one in judges.items()]
        yield ("F1 of", *labels), f1
        called: Rows = [
            (name, *(str(sum(row[answer] for row in one.confusion.values())) for answer in (*labels, "unjudged")))
            for name, one in judges.items()
        ]
        yield (
            ("called", *labels, "unjudged"),
            [("labelled", *(str(next(iter(judges.values())).classes[label].n) for label in labels), "0"), *called],
        )
        cost: Rows = [
            (
                name,
                _with_interval(one.calibration_error),
                f"{self.speeds[name]:,.1f}" if name in self.speeds else "–",
                f"${self.prices[name]:,.2f}" if name in self.prices else "–",
            )
            for name, one in judges.items()
        ]
        yield ("judge", "calibration error", "answers a second", "price of 1,000"), cost
        differences: Rows = [
            (
                f"{one.judge_a} − {one.judge_b}",
                _difference(one.accuracy),
                _difference(one.macro_f1),
                f"{one.only_a} : {one.only_b}",
                probability(one.mcnemar_p),
            )
            for one in self.comparison.differences
        ]
        yield ("difference", "accuracy", "macro-F1", "one alone right", "McNemar p"), differences

    def flat(self) -> dict[str, Any]:
        """One JSON-able object."""
        flat = self.comparison.flat(self.data)
        for one in flat["judges"]:
            one |= {"answers_a_second": self.speeds.get(one["name"]), "usd_a_thousand": self.prices.get(one["name"])}
        return flat | {"notes": self.notes}


def build_judges_page(told: JudgesPage) -> str:
    """One HTML document that loads nothing; all text is escaped.

    Args:
        told: What is told.
    """
    return environment().get_template("compared.html.jinja").render(told=told, tables=list(told.tables()), style=page_style())


def _with_interval(figure: Figure) -> str:
    return f"{plain(figure.value)} {interval(figure.low, figure.high)}".strip()


def _difference(figure: Figure) -> str:
    return f"{signed(figure.value)} {signed_interval(figure.low, figure.high)}".strip()
