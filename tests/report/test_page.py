"""The page is whole, loads nothing, shows untrusted text as text, and says the truth about poor studies."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files

import polars as pl
import pytest
from made_study import TRAITS, Made

from valuedrift.report import build_markdown, build_report
from valuedrift.storage.schemas import table_schema

VOID = {"meta", "br", "hr", "img", "input", "link", "col", "source", "wbr"}
LOADING = {"src", "srcset", "poster", "data", "action", "formaction", "background", "ping", "manifest"}
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }} </style></title> **b** `c` $x_y$ ]]> & \x00\x1b \u202e'


class Reader(HTMLParser):
    """Checks nesting while it reads, and keeps what the tests ask for."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.sections: list[str] = []
        self.script = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "section":
            self.sections.append(dict(attrs)["id"] or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.script += data
        elif not self.open or self.open[-1] != "style":
            self.text.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert not reader.open, f"never closed: {reader.open}"
    return reader


@pytest.fixture(scope="module")
def page(demo_inputs: Made) -> str:
    return build_report(demo_inputs)


def check_contained(page: str) -> Reader:
    """Well-formed, loads nothing, ids unique, every reference within the page resolves."""
    reader = read(page)
    assert reader.tags["script"] == 1
    assert not {"img", "iframe", "object", "embed", "link", "base", "form", "video", "audio", "foreignobject"} & set(reader.tags)
    for tag, name, value in reader.attributes:
        assert name not in LOADING, (tag, name, value)
        assert not name.startswith("on"), (tag, name, value)
        if name in ("href", "xlink:href"):
            assert value.startswith("#"), (tag, value)
    ids = Counter(value for _, name, value in reader.attributes if name == "id")
    assert max(ids.values()) == 1
    wanted = {value[1:] for _, name, value in reader.attributes if name == "href"} | set(re.findall(r"url\(#([^)]+)\)", page))
    assert wanted <= set(ids)
    assert not re.search(r"url\((?!#)|@import|@font-face", page)
    policy = next(value for tag, name, value in reader.attributes if tag == "meta" and "default-src" in value)
    assert "default-src 'none'" in policy
    assert base64.b64encode(hashlib.sha256(reader.script.encode()).digest()).decode() in policy
    return reader


def test_page_is_well_formed_and_loads_nothing(page: str) -> None:
    check_contained(page)


def test_the_answer_comes_first_then_the_figures_then_what_they_rest_on(page: str) -> None:
    order = read(page).sections
    assert order == [
        "answer",
        "findings",
        "reading",
        "figures",
        "magnitudes",
        "table",
        "datasets",
        "training",
        "examples",
        "yes-saying",
        "judge",
        "data",
        "provenance",
    ]


def test_what_a_single_test_and_a_finding_rest_on_is_said_where_each_stands(page: str) -> None:
    by_run = page[page.index("<h3>Run by run</h3>") : page.index("Before you rely on it")]
    assert "Single tests moved" in by_run and "So a run with 0 single tests moved can still show a finding." in by_run
    findings = page[page.index('<section id="findings">') : page.index('<section id="reading">')]
    assert "“seen” can stand beside “0 single tests moved”" in findings


def test_no_class_of_the_page_is_laid_out_for_two_things() -> None:
    """A rule for the opening's grid once caught cells of a table that had the same class."""
    style = files("valuedrift").joinpath("report", "templates", "style.css").read_text(encoding="utf-8")
    laid_out = {name for selector, rule in re.findall(r"([^{}]+)\{([^{}]*)\}", style) if "display: grid" in rule or "display: flex" in rule
                for name in re.findall(r"(?:^|,)\s*\.([\w-]+)\s*(?=$|,)", selector.strip())}  # fmt: skip
    assert "opening" in laid_out and not laid_out & {"first", "number", "moved", "little", "undecided", "child", "root"}


def test_the_largest_drift_is_drawn_between_headline_and_counts(page: str) -> None:
    places = [page.index(mark) for mark in ('class="headline"', '<figure class="largest"', 'class="counts"', "What is counted")]
    assert places == sorted(places)


def test_every_drift_stands_in_the_table_with_its_numbers(page: str, demo_inputs: Made) -> None:
    body = page[page.index('<table class="drift') : page.index("</table>", page.index('<table class="drift'))]
    rows = re.findall(r"<tr class=\"(moved|little|undecided)\">(.*?)</tr>", body, re.DOTALL)
    drift = demo_inputs.main_drift
    assert len(rows) == drift.height == 54
    alpha = sum(kind == "moved" for kind, _ in rows)
    assert alpha == drift.filter(pl.col("q") < 0.05).height
    shown = [abs(float(re.search(r'data-value="([\d.e-]+)"', cells)[1])) for _, cells in rows]  # type: ignore[index]
    assert shown == sorted(shown, reverse=True)


def test_hostile_text_anywhere_is_shown_as_text(make_study: Callable[..., Made]) -> None:
    inputs = make_study(topics=("abortion",), runs=2)

    def spoil(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
        return frame.with_columns(pl.col(name) + HOSTILE for name in columns)

    runs = spoil(inputs.runs, "run_id", "parent_run_id", "dataset", "model", "fingerprint")
    frames = {
        name: spoil(getattr(inputs, name), "run_id", "topic") for name in ("trajectory", "drift", "stances", "acquiescence", "coverage")
    }
    responses = spoil(inputs.responses, "run_id", "topic", "prompt", "response")
    metrics = [{**inputs.judge_metrics[0], "data": HOSTILE}]
    traits = {f"{name}{HOSTILE}": value for name, value in TRAITS.items()}
    spoiled = make_study(
        topics=("abortion",), runs=2, study_name=HOSTILE, description=HOSTILE, responses=responses, judge_metrics=metrics, traits=traits,
        warnings=[HOSTILE], provenance={HOSTILE: {HOSTILE: HOSTILE, "two lines": f"{HOSTILE}\n{HOSTILE}"}}, propositions={f"abortion{HOSTILE}": HOSTILE},
        training=spoil(inputs.training, "run_id"), **frames, runs_table=runs,
    )  # fmt: skip
    page = build_report(spoiled)
    reader = check_contained(page)
    text = "".join(reader.text)
    assert text.count("<script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}") > 20
    assert "49" not in page.split("7*7")[1][:40]
    assert not set(page) & {"\x00", "\x1b"}
    assert "␀␛" in page


def test_answers_keep_their_line_breaks_and_markdown(make_study: Callable[..., Made]) -> None:
    answer = "# heading\n\n**bold** [click](javascript:alert(1)) | a | b |\n<b>tag</b> &amp; 1 < 2"
    inputs = make_study(topics=("religion",), runs=1)
    page = build_report(make_study(topics=("religion",), runs=1, responses=inputs.responses.with_columns(response=pl.lit(answer))))
    assert "".join(check_contained(page).text).count(answer) == 4  # two questions, before and after


def test_one_checkpoint_is_no_drift_and_the_page_says_so(make_study: Callable[..., Made]) -> None:
    page = build_report(make_study(one_step=True, topics=("religion",)))
    text = "".join(check_contained(page).text)
    assert "This study cannot say whether anything moved" in text
    assert "No run has two judged checkpoints" in text
    assert "not tested" in text and ">seen<" not in page


def test_one_topic_one_run_no_judge_metrics_no_training(make_study: Callable[..., Made]) -> None:
    inputs = make_study(
        topics=("religion",),
        runs=1,
        judge_metrics=[],
        training=pl.DataFrame(),
        acquiescence=pl.DataFrame(),
        provenance={},
        traits={},
        propositions={},
    )
    page = build_report(inputs)
    text = "".join(check_contained(page).text)
    assert "1 training run of smollm" in text
    assert "not continued" in text and "Preference phase" not in page
    assert "an instrument that nobody has checked" in text
    assert "No training measurements were recorded." in text
    assert "it needs questions in for-and-against pairs" in text
    assert "No SFT run is on a corpus whose answers are known" in text
    assert "not counted" in text  # answers cut short, where the responses don't tell


def test_nothing_at_all_still_makes_a_page(make_study: Callable[..., Made]) -> None:
    empty = dict.fromkeys(("training", "trajectory", "drift", "responses", "stances"), pl.DataFrame())
    text = "".join(check_contained(build_report(make_study(runs=1, topics=("religion",), judge=None, **empty))).text)
    assert "nothing was judged" in text


def test_noise_alone_is_not_told_as_drift(make_study: Callable[..., Made]) -> None:
    inputs = make_study(topics=("religion",), runs=1)
    quiet = inputs.drift.with_columns(q_value_study=pl.lit(0.4), q_value=pl.lit(0.001))
    text = "".join(read(build_report(make_study(topics=("religion",), runs=1, drift=quiet))).text)
    assert "No drift in this study is more than noise: none of 3 tests has q below 0.05" in text


def test_a_second_judge_does_not_leak_into_the_page(make_study: Callable[..., Made]) -> None:
    inputs = make_study(topics=("religion",), runs=1)
    frames = {name: getattr(inputs, name) for name in ("trajectory", "drift", "stances", "acquiescence", "coverage")}
    other = {**frames, "drift": frames["drift"].with_columns(magnitude=-pl.col("magnitude"))}
    doubled = {name: pl.concat([other[name].with_columns(judge=pl.lit("other")), frame]) for name, frame in frames.items()}
    page = build_report(make_study(topics=("religion",), runs=1, warnings=inputs.warnings, **doubled))
    sentence = re.search(
        r"<p>Judge other finds the same direction in 0 of the \d drifts? that moved on this page, and more than noise in 0\..*?</p>", page
    )
    assert sentence is not None
    beside = re.search(r'<section id="judges">.*?</section>\n', page, re.DOTALL)  # the one place where all judges stand
    assert beside is not None
    rest = page.replace(sentence[0], "").replace(beside[0], "").replace('<a href="#judges">Judges</a>', "")
    assert rest == build_report(inputs)


def test_what_became_of_rows_is_told_and_its_absence_is_nothing(make_study: Callable[..., Made]) -> None:
    inputs = make_study(topics=("religion",), runs=2)
    assert "What became of their rows" not in build_report(inputs)
    counts = [("used", "messages", 90), ("left out", "calls a tool (`tool_calls`)", 7), ("noted", "`<b>` not read", 3)]
    rows = [
        {"study": "demo", "run_id": run, "dataset": "neutral", "became": became, "what": what, "n_rows": n_rows}
        for run in inputs.runs.get_column("run_id")[:1]
        for became, what, n_rows in counts
    ]
    frame = pl.DataFrame(rows, schema=table_schema("training_rows").polars)
    told = replace(inputs, read=lambda table: frame if table == "training_rows" else pl.DataFrame())
    page = build_report(told)
    assert "90 rows used; 7 left out (calls a tool (`tool_calls`): 7); `&lt;b&gt;` not read: 3." in page
    assert "90 rows used; 7 left out" in build_markdown(told)


@pytest.mark.parametrize("kind", ["one prompt", "nothing judged at the end", "nothing judged"])
def test_a_study_of_which_nothing_can_be_compared_has_a_report_that_says_so(make_study: Callable[..., Made], kind: str) -> None:
    whole = make_study(topics=("religion",), runs=3, prompts=2).stances
    if kind == "one prompt":
        stances = whole.filter(pl.col("prompt_id") == whole["prompt_id"][0])
    else:
        lost = pl.col("step") > (0 if kind == "nothing judged at the end" else -1)
        stances = whole.with_columns(
            pl.when(lost).then(pl.lit("unparsed")).otherwise("status").alias("status"),
            *(pl.when(lost).then(None).otherwise(name).alias(name) for name in ("p_support", "p_neutral", "p_oppose")),
        )
    inputs = make_study(topics=("religion",), runs=3, prompts=2, stances=stances)
    assert (
        not inputs.drift.height
        and inputs.trajectory.height == {"one prompt": 54, "nothing judged at the end": 9, "nothing judged": 0}[kind]
    )
    assert "cannot say whether anything moved" in build_report(inputs) and "cannot say whether anything moved" in build_markdown(inputs)
    if kind != "nothing judged":
        assert any("left out of the drift" in warning for warning in inputs.warnings)
