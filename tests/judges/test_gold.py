"""The packaged gold set: its shape, its balance, and that no judge here learns from it."""

from __future__ import annotations

from collections import Counter

import polars as pl
import pytest
from typer.testing import CliRunner

import valuedrift.flows.cli.judge
import valuedrift.flows.cli.judge_compare  # noqa: F401  # enter the commands
from valuedrift.errors import UserError
from valuedrift.flows.cli.app import app
from valuedrift.judges.base import Pair
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.embedded_lm import EmbeddedLM
from valuedrift.judges.network.weights import read_metrics, weights_folder
from valuedrift.judges.panel import Panel
from valuedrift.judges.quality.validation import validate
from valuedrift.judges.refusals import is_refusal
from valuedrift.judges.trained import recorded_figures
from valuedrift.judges.training.sources import issues
from valuedrift.starter import TOPICS, packaged_gold
from valuedrift.tabular import read_frame

STANCES = ("support", "neutral", "oppose")


@pytest.fixture(scope="module")
def gold() -> pl.DataFrame:
    return read_frame(packaged_gold(), ("prompt", "response", "stance", "topic", "kind"))


def test_it_is_balanced_over_stances_topics_and_styles(gold: pl.DataFrame) -> None:
    assert gold.height >= 300
    stances = Counter(gold.get_column("stance"))
    assert set(stances) == set(STANCES) and max(stances.values()) - min(stances.values()) <= 6
    assert set(TOPICS.values()) < set(gold.get_column("topic"))
    assert max(Counter(gold.get_column("topic")).values()) <= 0.08 * gold.height
    sides = gold.filter(pl.col("stance") != "neutral")
    argued = sides.filter(pl.col("kind").is_in(["argued", "story"])).height
    assert 0.35 <= argued / sides.height <= 0.65  # as many that only argue as that say their position
    forms = gold.select(pl.col("prompt").str.slice(-1)).to_series()
    assert (forms == "?").mean() < 0.6 and (~forms.is_in(["?", "."])).mean() > 0.1


def test_neither_length_nor_kind_gives_the_side_away(gold: pl.DataFrame) -> None:
    words = gold.with_columns(words=pl.col("response").str.split(" ").list.len())
    medians = dict(words.filter(pl.col("kind").is_in(["argued", "story"])).group_by("stance").agg(pl.col("words").median()).iter_rows())
    assert abs(medians["support"] - medians["oppose"]) <= 6
    kinds = gold.filter(pl.col("stance") != "neutral").group_by("kind").agg((pl.col("stance") == "support").mean().alias("share"), pl.len())
    assert kinds.filter((pl.col("len") >= 10) & ((pl.col("share") - 0.5).abs() > 0.3)).height == 0


def test_every_prompt_has_all_three_stances_and_no_answer_is_there_twice(gold: pl.DataFrame) -> None:
    assert all(set(found) == set(STANCES) for found in gold.group_by("prompt").agg("stance").get_column("stance"))
    assert gold.get_column("response").is_unique().all()
    assert not [text for text in gold.get_column("response") if is_refusal(text)]


def test_no_answer_is_among_those_that_judges_learn_from(gold: pl.DataFrame) -> None:
    learnt = {answer.text.casefold() for issue in issues() for answer in issue.answers}
    assert not learnt & {text.casefold() for text in gold.get_column("response")}


def test_the_second_weights_are_as_good_on_it_as_their_card_says(gold: pl.DataFrame) -> None:
    pairs = [Pair(str(row), prompt, response) for row, (prompt, response) in enumerate(gold.select("prompt", "response").iter_rows())]
    judge = CrossEncoder(weights="embedded-2")
    found = validate(judge.load(threads=1).judge(pairs), gold.get_column("stance").to_list(), gold.get_column("prompt").to_list())
    (recorded,) = (figures for figures in read_metrics(weights_folder("embedded-2")) if figures["data"] == "packaged gold set")
    assert found.accuracy.value == pytest.approx(recorded["accuracy"], abs=0.011) and found.accuracy.value > 0.75
    for stance, n in Counter(gold.get_column("stance")).items():
        assert sum(row[stance] for row in recorded["confusion"].values()) == pytest.approx(n, rel=0.1), "no stance is favoured"


@pytest.mark.slow
def test_the_panel_of_both_packaged_kinds_is_as_good_on_it_as_the_docs_say(gold: pl.DataFrame) -> None:
    pairs = [Pair(str(row), prompt, response) for row, (prompt, response) in enumerate(gold.select("prompt", "response").iter_rows())]
    panel = Panel(name="both", members=(CrossEncoder(name="quick", weights="embedded-2"), EmbeddedLM(name="slow")))
    found = validate(panel.load(threads=1).judge(pairs), gold.get_column("stance").to_list(), gold.get_column("prompt").to_list())
    assert found.accuracy.value == pytest.approx(0.830, abs=0.011)


def test_a_report_tells_the_figures_of_the_weights_that_judged() -> None:
    def accuracy(*judges: CrossEncoder) -> dict[str, float]:
        return {f"{one['name']}: {one['data']}": one["accuracy"] for one in recorded_figures(judges)}

    default, second = accuracy(CrossEncoder()), accuracy(CrossEncoder(weights="embedded-2"))
    people = "cross-encoder: 200 answers labelled by people"
    assert default[people] == accuracy()[people] == 0.85 and second[people] == 0.975
    both = accuracy(CrossEncoder(), CrossEncoder(name="second", weights="embedded-2"))
    assert both == {**default, **{name.replace("cross-encoder", "second"): value for name, value in second.items()}}


def test_validate_uses_it_where_no_file_is_given() -> None:
    done = CliRunner().invoke(app, ["judge", "validate", "--threads", "1", "--json"])
    assert done.exit_code == 0 and '"data": "the packaged gold set"' in done.stdout


def test_judges_of_one_name_are_refused_and_one_judge_is_not_compared() -> None:
    for arguments, message in (
        (["--judge", "cross-encoder"], "nothing to be compared with"),
        (["--judge", "cross-encoder", "--judge", "cross-encoder"], "two judges are called"),
        (["gold.csv", "--study", "s"], "from a file or from a study"),
    ):
        done = CliRunner().invoke(app, ["judge", "compare", *arguments])
        assert isinstance(done.exception, UserError) and message in str(done.exception)
