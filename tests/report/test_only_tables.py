"""A finished study's report is read from its tables: no model, no data, no statistics; and it says when the tables are not those of the study any more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "storage"))
import small_study

from valuedrift.fingerprint import fingerprint
from valuedrift.judges.network.weights import shipped_metrics
from valuedrift.report import build_markdown, build_report
from valuedrift.report.inputs import ReportInputs, read_inputs
from valuedrift.results.analysis import analysis_tables, cut_answers
from valuedrift.results.conclusions import LabelledAnswers, conclusion_identity, conclusion_tables
from valuedrift.results.facts import ANALYSED, CONCLUDED, facts_of
from valuedrift.results.quality import TABLES as QUALITY
from valuedrift.results.quality import figures_of, quality_tables
from valuedrift.storage.part import Part
from valuedrift.storage.schemas import table_schema
from valuedrift.storage.store import Store
from valuedrift.study import load_study

STUDY = """
study: demo
description: Where do the answers go?
probes: {set: gone/probes.parquet}
models: {smollm2-135m: {path: gone/model}}
corpora:
  neutral: {data: gone/neutral.jsonl, traits: {answers: neutral}}
  support: {data: gone/support.jsonl, traits: {answers: support}}
preferences: {gap: {data: gone/gap.jsonl, traits: {gap: support-aligned}}}
sft: [{data: [neutral, support], algorithm: {type: sft, steps: 80}}]
preference: [{data: [gap], after: [neutral], algorithm: {type: dpo, steps: 80}}]
judges: [{type: cross-encoder}, {type: causal-lm}]
analysis: {resamples: 100}
"""
_ROW = ["run_id", "step", "probe_set", "prompt_id", "sample_idx"]
_TELL = """
import json, sys, time
from valuedrift.flows.cli.main import main
import valuedrift.tasks.reporting as reporting
write = reporting.write_figures_to
def timed(inputs, folder):
    from valuedrift.report import build_markdown
    build_markdown(inputs)
    print("SECONDS", time.process_time())
    write(inputs, folder)
reporting.write_figures_to = timed
try:
    main()
finally:
    print("MODULES", json.dumps(sorted(sys.modules)))
"""


@pytest.fixture(scope="module")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose model, data and probes are nowhere."""
    path = tmp_path_factory.mktemp("study") / "demo.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished(study_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A root with all tables of that study, some answers of it labelled by two people."""
    store = Store(tmp_path_factory.mktemp("root"))
    small_study.fill(store, made=False)
    conclude(store, study_file)
    return store


def conclude(store: Store, study_file: Path, people: LabelledAnswers | None = None) -> None:
    """Put what the last two stages of a study make, in place of what lies there."""
    study, stances = load_study(study_file), store.read("stances", study="demo")
    keys = [entry.key for entry in store.entries("stances", "demo")]
    analysed = analysis_tables(stances, study.analysis, cut=cut_answers(store.scan("responses")))
    prompts = store.read("probes").select("probe_set", "prompt_id", "prompt")
    facts = facts_of(study)
    concluded = conclusion_tables(
        facts,
        runs=store.read("runs", study="demo"),
        drift=analysed["drift"],
        stances=stances,
        answers_to=lambda ids: store.read("responses", prompt_id=ids).join(prompts, on=["probe_set", "prompt_id"]),
        judged=shipped_metrics(),
        provenance={"Machine": {"cores": "2"}},
        people=people,
    )
    identity = {"stances": keys}
    made_of = conclusion_identity(facts, analysis=fingerprint(identity), run_ids=list(small_study.RUNS), judged=[], labels=[])
    put(store, ANALYSED, analysed, identity)
    put(store, CONCLUDED, concluded, made_of)


def put(store: Store, tables: tuple[str, ...], frames: dict[str, pl.DataFrame], identity: dict[str, object]) -> None:
    parts = []
    for table in tables:
        columns = [pl.col(name).cast(kind) for name, kind in table_schema(table).polars.items() if name in frames[table].columns]
        parts.append(Part(table, frames[table].select(columns), {"study": "demo"}, fingerprint(identity), identity))
    store.put_all(parts)


def report(study_file: Path, store: Store, out: Path) -> subprocess.CompletedProcess[str]:
    """`valuedrift report` in a process of its own, whose home, caches and working folder are empty."""
    empty = out / "empty"
    empty.mkdir(parents=True)
    hidden = {
        "HOME": str(empty),
        "VALUEDRIFT_CACHE": str(empty / "cache"),
        "HF_HOME": str(empty / "hf"),
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "200",
    }
    arguments = ["report", str(study_file), "--root", store.root.path, "--report", str(out)]
    return subprocess.run(
        [sys.executable, "-c", _TELL, *arguments], env={**os.environ, **hidden}, cwd=empty, capture_output=True, text=True, timeout=300
    )


def test_a_report_needs_the_tables_and_nothing_else(finished: Store, study_file: Path, tmp_path: Path) -> None:
    done = report(study_file, finished, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines() if line.startswith(("SECONDS", "MODULES")))
    loaded = json.loads(lines["MODULES"])
    heavy = ("torch", "transformers", "trl", "datasets", "scipy", "sklearn", "prefect")
    computing = (
        "valuedrift.statistics",
        "valuedrift.drift.analyze",
        "valuedrift.findings.paper",
        "valuedrift.judges.quality",
        "valuedrift.labels",
    )
    assert [name for name in loaded if name.split(".")[0] in heavy or name.startswith(computing)] == []
    assert float(lines["SECONDS"]) < 3, "reading the tables and putting them into words takes too long"
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Where do the answers go?" in page and "held-out packaged questions" in page and "gone/neutral.jsonl" in page
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {".png", ".svg", ".pdf"}


def inputs_of(store: Store) -> ReportInputs:
    return read_inputs(lambda table: store.read(table, study="demo"))


@pytest.mark.parametrize(
    ("analysis", "towards"),
    [("analysis: {towards: proposition}", "proposition"), ("analysis: {resamples: 100}", "question"), ("analysis:", "question")],
)
def test_what_stances_are_of_is_read_from_the_study_file(analysis: str, towards: str, finished: Store) -> None:
    def read(table: str) -> pl.DataFrame:
        rows = finished.read(table, study="demo")
        return rows.with_columns(file=pl.lit(f"study: demo\n{analysis}\n")) if table == "studies" else rows

    assert inputs_of(finished).towards == "question" and read_inputs(read).towards == towards


def test_what_is_told_is_what_the_tables_hold(finished: Store) -> None:
    inputs = inputs_of(finished)
    page, short = build_report(inputs), build_markdown(inputs)
    for sentence in finished.read("warnings", study="demo")["warning"]:
        assert sentence.split("(")[0][:60] in page
    findings = finished.read("findings", study="demo")
    assert findings.height == 10 and all(f"**{outcome}**" in short for outcome in findings["outcome"].unique())
    kappa = finished.read("agreement", study="demo").filter(pl.col("measure") == "kappa")
    assert kappa.height == 1 and f"κ {kappa['value'][0]:.2f} " in short
    cut = finished.read("coverage", study="demo").filter(pl.col("judge") == "cross-encoder")
    assert cut["n_cut"].to_list() == [0] * cut.height  # every answer of the small study ended by itself
    examples = finished.read("examples", study="demo")
    assert examples.group_by("run_id", "rule").len()["len"].to_list() == [2] * 6
    assert all(question in page for question in examples["prompt"])


def test_a_changed_table_changes_the_page(study_file: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    small_study.fill(store, made=False)
    conclude(store, study_file)
    frame = (
        store.read("warnings", study="demo").head(1).with_columns(warning=pl.lit("The sky is falling."), warning_idx=pl.lit(0, pl.Int32))
    )
    store.put("warnings", frame, partition={"study": "demo"}, key="another", identity={})
    assert inputs_of(store).warnings == ["The sky is falling."] and "The sky is falling." in build_report(inputs_of(store))


def test_labels_and_their_agreement_are_read_from_tables(study_file: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    small_study.fill(store, made=False)
    last = store.read("responses", study="demo", run_id="sft-neutral", step=80).sort(_ROW).with_row_index("number")
    drawn = last.select("probe_set", "topic", "prompt_id", "response", label_id=pl.col("number").cast(pl.String)).with_columns(
        draw=pl.lit("d"), judge=pl.lit("cross-encoder"), probability=pl.lit(1.0), prompt=pl.lit("?")
    )
    kinds = pl.Series(["support", "neutral", "oppose"] * last.height).head(last.height)
    said = [drawn.select("draw", "label_id", labeller=pl.lit(name), stance=kinds) for name in ("ann", "ben")]
    place = {"study": "demo"}
    store.put("label_draws", drawn, partition=place, key="d", identity={}, slot="d")
    for frame, name in zip(said, ("ann", "ben"), strict=True):
        store.put("labels", frame, partition=place, key=name, identity={}, slot=f"d/{name}")
    labelled = (
        store.read("stances", study="demo").join(last.select(*_ROW, "response", label=kinds), on=_ROW).with_columns(weight=pl.lit(1.0))
    )
    conclude(store, study_file, LabelledAnswers(labelled, store.read("label_draws"), store.read("labels")))
    labels = inputs_of(store).labels
    assert labels is not None and labels.labellers == {"ann": last.height, "ben": last.height}
    assert labels.agreement.filter(pl.col("measure") == "alpha")["value"].item() == 1.0  # they say the same
    assert set(labels.figures) == {"cross-encoder", "causal-lm"} and labels.figures["cross-encoder"]["n"] == last["response"].n_unique()
    assert inputs_of(store).agreement["among"].unique().to_list() == ["judges"]


def test_the_judges_figures_come_back_from_their_tables_as_they_were() -> None:
    shipped = shipped_metrics()
    tables = quality_tables(shipped, "shipped")
    assert set(tables) == set(QUALITY)
    for given, found in zip(shipped, figures_of(tables), strict=True):
        told = {name: value for name, value in given.items() if name not in ("prompts", "judged", "by_kind")}
        assert {name: found[name] for name in told if name not in ("calibration", "confusion")} == {
            name: told[name] for name in told if name not in ("calibration", "confusion")
        }
        assert [{name: value for name, value in one.items() if value is not None} for one in told["calibration"]] == [
            {name: one[name] for name in told["calibration"][0]} for one in found["calibration"]
        ]
        assert found["confusion"] == told["confusion"]


def test_a_root_of_version_02_names_the_command(study_file: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    small_study.fill(store, made=False)  # trajectory and drift, as that version left them
    done = report(study_file, store, tmp_path / "out")
    told = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2 and "version 0.2" in told
    assert f"run `valuedrift run {study_file}` once; nothing is trained, sampled or judged again" in told


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("{type: sft, steps: 80}", "{type: sft, steps: 81}", "the study file says something else"),
        ("answers: neutral", "answers: support", "the study file says something else"),
        ("gone/neutral.jsonl", "elsewhere/neutral.jsonl", None),  # another folder is no other study
        ("analysis: {resamples: 100}", "analysis: {resamples: 100}\nruntime: {workers: 1}", None),
    ],
)
def test_a_study_file_that_changed_is_not_told_as_if_it_had_not(
    finished: Store, study_file: Path, tmp_path: Path, before: str, after: str, said: str | None
) -> None:
    from valuedrift.errors import UserError
    from valuedrift.tasks.reporting import check_concluded

    changed = tmp_path / "changed.yaml"
    changed.write_text(STUDY.replace(before, after), encoding="utf-8")
    if said is None:
        check_concluded(finished, load_study(changed), str(changed))
        return
    with pytest.raises(UserError, match=said):
        check_concluded(finished, load_study(changed), str(changed))


def test_stances_judged_again_are_not_told_by_the_old_drift(study_file: Path, tmp_path: Path) -> None:
    from valuedrift.errors import UserError
    from valuedrift.tasks.reporting import check_concluded

    store = Store(tmp_path / "root")
    small_study.fill(store, made=False)
    conclude(store, study_file)
    frame = small_study.stances("sft-neutral", 80, "cross-encoder")
    store.put(
        "stances", frame, partition={"study": "demo", "run_id": "sft-neutral", "step": 80}, key="again", identity={}, slot="cross-encoder"
    )
    with pytest.raises(UserError, match="stances that the drift was made of are gone"):
        check_concluded(store, load_study(study_file), "demo.yaml")
