"""The Markdown version says the same and lets nothing of the study's text become markup."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_study import Made
from markdown_it import MarkdownIt

from valuedrift.report import build_markdown
from valuedrift.report.markdown import escape

RENDER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
HOSTILE = "<img src=x onerror=alert(1)> [a](http://e.vil) | **b** ![c](d) `e` https://e.vil www.e.vil m@e.vil ~~f~~\n# g"


def test_says_what_the_page_says(demo_inputs: Made) -> None:
    text = build_markdown(demo_inputs)
    rendered = RENDER.render(text)
    assert "SFT neutral moved values most: it raised neutral on climate change" in html.unescape(rendered)
    assert "a finding can be seen where 0 single tests moved" in rendered and "worded for and against in pairs" in rendered
    assert rendered.count("<table>") == 2 and rendered.count("<tr>") == 1 + 10 + 1 + 20
    assert "With a value gap, SimPO moves values less than DPO." in rendered


def test_hostile_text_stays_text(make_study: Callable[..., Made]) -> None:
    inputs = make_study(topics=("religion",), runs=2)
    frames = {
        name: getattr(inputs, name).with_columns(pl.col("topic") + HOSTILE)
        for name in ("trajectory", "drift", "stances", "acquiescence", "coverage")
    }
    runs = inputs.runs.with_columns(pl.col("dataset") + HOSTILE)
    spoiled = make_study(
        topics=("religion",), runs=2, study_name=HOSTILE, description=f"1. {HOSTILE}", warnings=[f"- {HOSTILE}"], runs_table=runs, **frames
    )
    rendered = RENDER.render(build_markdown(spoiled))
    assert not re.search(r"<(img|a|script|code|del|ol|em)\b", rendered)
    assert rendered.count("<h1>") == 1
    assert html.unescape(rendered).count("<img src=x onerror=alert(1)> [a](http://e.vil) | **b**") > 8
    assert "://" not in build_markdown(spoiled).replace("\\://", "") and "www.e" not in build_markdown(spoiled)


@given(st.text(max_size=60))
def test_escaped_text_renders_as_itself(text: str) -> None:
    shown = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    rendered = RENDER.render(f"x {escape(text)}\n\n{escape(text)}\n")
    lines = [html.unescape(line) for line in re.findall(r"<p>(.*?)</p>", rendered)]
    assert lines == [f"x {shown}".rstrip(), *([shown] if shown else [])]


@pytest.mark.parametrize("text", ["- a", "1. a", "12) a", "# a", "> a", "+ a", "===", "&lt;", "a\\*b*", "<b>", "| a | b |"])
def test_marks_at_the_start_of_a_line(text: str) -> None:
    assert html.unescape(RENDER.render(escape(text))) == f"<p>{text}</p>\n"
