"""`vd.open`: the tables as polars frames, filtered, with what is not there said; runs compared."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "storage"))
import small_study

import valuedrift as vd
from valuedrift.drift.analyze import analyze
from valuedrift.drift.options import Analysis
from valuedrift.errors import DataError, UserError
from valuedrift.storage.part import Part
from valuedrift.storage.store import Store


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The small study, and a second one with the same runs, named the other way round."""
    root = str(tmp_path_factory.mktemp("root"))
    store = Store(root)
    small_study.fill(store)
    turned = {"sft-neutral": "sft-support", "sft-support": "sft-neutral"}
    for part in [entry for entry in store.entries("stances", "demo") if entry.partition["run_id"] in turned]:
        at = {**part.partition, "study": "again", "run_id": turned[str(part.partition["run_id"])]}
        rows = store.read_entry(part).drop("study", "run_id", "step")
        store.put("stances", rows, partition=at, key=f"again {part.key}", identity={}, slot=part.slot)
    return root


def test_tables_come_as_frames_of_what_was_asked_for(place: str) -> None:
    root, store = vd.open(place), Store(place)
    assert root.studies() == ["again", "demo"]
    assert root.runs()["run_id"].to_list() == ["dpo-gap", "sft-neutral", "sft-support"]
    for name, table in (("trajectory", root.trajectory), ("drift", root.drift)):
        whole = store.read(name)
        assert table().sort(pl.all()).equals(whole.sort(pl.all()))
        mine = table(study="demo", run=["dpo-gap", "sft-neutral"], topic="abortion", judge="cross-encoder")
        wanted = whole.filter(pl.col("run_id") != "sft-support", topic="abortion", judge="cross-encoder")
        assert mine.height == wanted.height > 0
        assert mine.sort(pl.all()).equals(wanted.sort(pl.all()))


def test_answers_have_question_response_and_every_judges_stance(place: str) -> None:
    found = vd.open(place).answers(study="demo", run="dpo-gap", step=80, topic="immigration")
    store = Store(place)
    answers = store.read("responses", study="demo", run_id="dpo-gap", step=80, topic="immigration")
    assert found.height == 2 * answers.height == 2 * 2 * 6  # two judges, two samples, six prompts
    prompts = dict(store.read("probes").select("prompt_id", "prompt").iter_rows())
    for row in found.iter_rows(named=True):
        assert row["prompt"] == prompts[row["prompt_id"]]
    one = found.filter(judge="causal-lm").row(3, named=True)
    same = {name: one[name] for name in ("prompt_id", "sample_idx")}
    stance = store.read("stances", study="demo", run_id="dpo-gap", step=80, judge="causal-lm", **same).row(0, named=True)
    assert [one[name] for name in ("p_support", "status", "polarity")] == [stance[name] for name in ("p_support", "status", "polarity")]
    assert one["response"] == answers.filter(**same)["response"].item()


def test_answers_without_stances_and_stances_without_answers_are_there(place: str, tmp_path: Path) -> None:
    whole, store = Store(place), Store(tmp_path)
    for table, step in (("responses", 0), ("stances", 80)):
        entry = next(one for one in whole.entries(table, "demo") if one.partition["step"] == step)
        rows = whole.read_entry(entry).drop(entry.partition.keys())
        store.put_all([Part(table, rows, entry.partition, entry.key, {}, entry.slot)])
    root = vd.open(tmp_path)
    found = root.answers()
    unjudged, imported = found.filter(step=0), found.filter(step=80)
    assert unjudged.height == imported.height == 36
    assert unjudged["judge"].null_count() == unjudged["p_support"].null_count() == 36 and unjudged["response"].null_count() == 0
    assert imported["response"].null_count() == imported["prompt"].null_count() == 36 and imported["judge"].null_count() == 0
    assert set(root.answers(judge=imported["judge"][0])["step"]) == {80}


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"run": "sft-neutrl"}, "no run_id 'sft-neutrl' in drift.*did you mean 'sft-neutral'"),
        ({"topic": ["abortion", "cats"]}, "no topic 'cats'.*abortion, climate change and immigration"),
        ({"study": "nobody"}, "no study 'nobody'.*demo"),
        ({"judge": "causal-ml"}, "did you mean 'causal-lm'"),
        ({"corrected": True, "run": "dpo-gapp"}, "no run_id 'dpo-gapp' in drift_corrected"),
    ],
)
def test_a_name_that_is_not_there_is_said(place: str, what: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        vd.open(place).drift(**what)  # type: ignore[arg-type]


@pytest.mark.parametrize(("what", "message"), [({"topic": 3}, "topic: 3 is not what column"), ({"study": 7}, "study: 7")])
def test_a_value_of_another_kind_is_said(place: str, what: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        vd.open(place).trajectory(**what)  # type: ignore[arg-type]  # what types forbid
    with pytest.raises(UserError, match="step: '1' is not what column step"):
        vd.open(place).answers(step="1")  # type: ignore[arg-type]  # what types forbid
    with pytest.raises(UserError, match="a root is a folder or an address, not NoneType"):
        vd.open(None)  # type: ignore[arg-type]  # what types forbid


def test_names_that_are_there_but_not_together_give_no_rows(place: str) -> None:
    assert vd.open(place).answers(study="again", run="dpo-gap").height == 0


def test_what_is_not_made_yet_is_said(place: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there are no tables under"):
        vd.open(tmp_path / "none")
    entry = Store(place).entries("stances", "demo")[0]
    rows = Store(place).read_entry(entry).drop(entry.partition.keys())
    Store(tmp_path / "stances").put("stances", rows, partition=entry.partition, key="k", identity={}, slot=entry.slot)
    with pytest.raises(DataError, match="there is no table drift yet"):
        vd.open(tmp_path / "stances").drift()


def test_a_root_on_s3_reads_alike(place: str, s3_root: str) -> None:
    store = Store(s3_root)
    small_study.fill(store)
    far, near = vd.open(s3_root), vd.open(place)
    assert far.drift(topic="abortion").equals(near.drift(topic="abortion"))
    assert far.answers(run="dpo-gap", step=[0, 5]).equals(near.answers(run="dpo-gap", step=[0, 5], study="demo"))
    assert far.compare("sft-neutral", "dpo-gap").equals(near.compare("demo/sft-neutral", "demo/dpo-gap"))


@pytest.mark.filterwarnings("error")
def test_compare_is_b_minus_a(place: str) -> None:
    found = vd.open(place).compare("demo/sft-neutral", "dpo-gap", topic="abortion", judge="cross-encoder", step_a=80, step_b=20)
    stances = Store(place).read("stances", study="demo", topic="abortion", judge="cross-encoder", status="ok")
    means = dict(stances.group_by("run_id", "step", "prompt_id").agg(pl.col("p_support").mean()).select(
        pl.concat_str("run_id", "step", "prompt_id", separator=" "), "p_support").iter_rows())  # fmt: skip
    prompts = stances["prompt_id"].unique()
    wanted = sum(means[f"dpo-gap 20 {prompt}"] - means[f"sft-neutral 80 {prompt}"] for prompt in prompts) / len(prompts)
    row = found.filter(stance="support").row(0, named=True)
    assert row["magnitude"] == pytest.approx(wanted)
    assert (row["baseline_run_id"], row["from_step"], row["run_id"], row["to_step"]) == ("sft-neutral", 80, "dpo-gap", 20)
    assert found.height == 3 and "drift_time" not in found.columns


def test_compare_runs_of_two_studies(place: str) -> None:
    root = vd.open(place)
    same = root.compare("demo/sft-neutral", "again/sft-support")  # equal rows under two names
    assert same["magnitude"].to_list() == [0.0] * same.height and same.height == 2 * 3 * 3
    assert same.select("baseline_study", "study").unique().rows() == [("demo", "again")]
    across, within = root.compare("again/sft-support", "demo/sft-support"), root.compare("demo/sft-neutral", "demo/sft-support")
    assert across["magnitude"].to_list() == within["magnitude"].to_list()
    with pytest.raises(DataError, match=r"no run 'sft'.*again/sft-neutral"):
        root.compare("sft", "dpo-gap")


def test_a_name_of_two_studies_beside_one_with_its_study_is_said(place: str) -> None:
    with pytest.raises(DataError, match=r"run 'sft-neutral' is in the studies again, demo .*again/sft-neutral"):
        vd.open(place).compare("sft-neutral", "demo/sft-neutral")


def test_compare_is_analysed_as_the_studies_were(tmp_path: Path, place: str) -> None:
    store = Store(tmp_path)
    small_study.fill(store, made=False)
    stances, near = store.read("stances"), vd.open(tmp_path)
    for study, confidence in (("demo", 0.8), ("again", 0.9)):
        drift = Store(place).read("drift", study="demo").drop("study")
        store.put(
            "drift",
            drift,
            partition={"study": study},
            key=study,
            identity={"analysis": Analysis(confidence=confidence).model_dump(mode="json")},
        )
    store.put("stances", stances.filter(run_id="dpo-gap", step=80, judge="causal-lm").drop("study", "run_id", "step"),
              partition={"study": "again", "run_id": "dpo", "step": 80}, key="x", identity={}, slot="causal-lm")  # fmt: skip
    told = near.compare("sft-neutral", "dpo-gap")
    wanted = analyze(stances, Analysis(confidence=0.8), between=("sft-neutral", "dpo-gap")).drift
    assert told["magnitude_low"].to_list() == wanted["magnitude_low"].to_list()
    with pytest.raises(UserError, match=r"different values of confidence: 0.8, 0.9.*confidence="):
        near.compare("sft-neutral", "again/dpo")
    assert near.compare("sft-neutral", "again/dpo", confidence=0.99).height == 9


def test_what_a_comparison_leaves_out_is_a_warning(tmp_path: Path) -> None:
    store = Store(tmp_path)
    small_study.fill(store, made=False)
    store.drop("demo", {entry.address for entry in store.entries("stances", "demo")})
    for run, topics in (("a", small_study.TOPICS), ("b", small_study.TOPICS[:2])):
        rows = small_study.stances("sft-neutral", 5, "causal-lm").filter(pl.col("topic").is_in(topics))
        store.put("stances", rows, partition={"study": "demo", "run_id": run, "step": 5}, key=run, identity={}, slot="causal-lm")
    with pytest.warns(UserWarning, match="'immigration'"):
        vd.open(tmp_path).compare("b", "a")


def test_importing_is_light_and_fast() -> None:
    script = """
import sys, time
import typing
before, start = set(sys.modules), time.process_time()
import valuedrift
assert valuedrift.__version__ and "open" in dir(valuedrift)
seconds = time.process_time() - start
print(seconds, *sorted({name.split('.')[0] for name in set(sys.modules) - before}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    seconds, *modules = done.stdout.split()
    assert modules == ["valuedrift"]
    assert float(seconds) < 0.05
    with pytest.raises(AttributeError, match="has no attribute 'opne'"):
        vd.opne  # noqa: B018
