"""A section of one's own is one file with its template, entered by one call: it stands in the contents and on the page, and its text is escaped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from valuedrift.errors import UserError
from valuedrift.report import ReportInputs, build_report
from valuedrift.report.sections import _SECTIONS, Page, Section, enter

TEMPLATE = """
<section id="longest">
<h2>The longest answer</h2>
<p>{{ words }} words, on {{ topic }}: {{ text }}</p>
</section>
"""


def longest(page: Page) -> Mapping[str, Any] | None:
    """The longest answer, from the table responses; nothing where there is none."""
    answers = page.inputs.read("responses")
    if not answers.height:
        return None
    row = answers.with_columns(words=pl.col("response").str.split(" ").list.len()).sort("words").row(-1, named=True)
    return {"words": row["words"], "topic": row["topic"], "text": row["response"]}


@pytest.fixture
def entered() -> Iterator[Section]:
    section = Section("longest", "Longest", longest, TEMPLATE)
    enter(section, after="examples")
    yield section
    _SECTIONS.remove(section)


def test_a_section_of_ones_own_stands_in_its_place_and_escapes_text(entered: Section, demo_inputs: ReportInputs) -> None:
    answers = pl.DataFrame({"topic": ["law"], "response": ["<script>alert(1)</script> no no no"]})
    page = build_report(_reading(demo_inputs, answers))
    assert '<a href="#longest">Longest</a>' in page and "4 words, on law" in page
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)" in page
    assert page.index('id="examples"') < page.index('id="longest"') < page.index('id="yes-saying"')


def test_a_section_with_nothing_to_say_is_left_out(entered: Section, demo_inputs: ReportInputs) -> None:
    assert "longest" not in build_report(_reading(demo_inputs, pl.DataFrame())).lower()


def test_a_section_without_a_place_of_its_own_is_refused() -> None:
    for section, after in (
        (Section("answer", "Again", longest, TEMPLATE), "examples"),
        (Section("mine", "Mine", longest, TEMPLATE), "nowhere"),
        (Section("mine", "Mine", longest), "examples"),
        (Section("My own", "Mine", longest, TEMPLATE), "examples"),
    ):
        with pytest.raises(UserError, match="no place for a section"):
            enter(section, after=after)


def _reading(inputs: ReportInputs, answers: pl.DataFrame) -> ReportInputs:
    return replace(inputs, read=lambda table: answers if table == "responses" else pl.DataFrame())
