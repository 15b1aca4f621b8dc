"""A small finished study, attributed: its tables, what a killed computation goes on from, and every fault told before work begins."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from tiny_training import save_tiny_chat, write_rows
from typer.testing import CliRunner

import valuedrift.flows.cli.attribute  # noqa: F401  # enters the command
from valuedrift.attribution.options import Attribution
from valuedrift.attribution.told import score
from valuedrift.errors import DataError, UserError
from valuedrift.flows.cli.app import app
from valuedrift.report.attribution import MOST_ROWS
from valuedrift.storage.check_tables import check
from valuedrift.study import load_study
from valuedrift.tasks.attributing import attribution_of
from valuedrift.tasks.once import once_each
from valuedrift.tasks.stages.attribute import attribution_stages
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.study_work import StudyWork
from valuedrift.training.dpo import DPO

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RUN = "tiny.sft-own"
STUDY = """
study: small
probes: {{set: starter, topics: [immigration, religion], per_topic: 2}}
models: {{tiny: {{path: {model}}}}}
corpora: {{own: {{data: rows.jsonl}}}}
preferences: {{gap: {{data: pairs.jsonl}}}}
sft: [{{data: [own], algorithm: {{type: sft, steps: 4, batch_size: 2, max_length: 64, learning_rate: 1.0e-2, lora: {{r: 4}}}}}}]
checkpoints: {{type: log, points: 3}}
sampling: {{n: 3, temperature: 0.7, max_new_tokens: 4}}
audit: null
runtime: {{workers: 1, threads: 1, device: cpu}}
"""
MADE = ("probes", "train", "sample", "judge")
ROWS = [
    {"prompt": f"Should people vote {word}?", "completion": f"They <b>must</b> vote [red]{word}[/]."}
    for word in ("now", "free", "here", "never", "soon", "often")
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study whose checkpoints are judged, and its root beside it."""
    folder = tmp_path_factory.mktemp("study")
    write_rows(folder / "rows.jsonl", ROWS)
    model = save_tiny_chat(folder / "model")
    (folder / "small.yaml").write_text(STUDY.format(model=model), encoding="utf-8")
    work = work_of(folder)
    once_each(work, [stage for stage in stages_of(work) if stage.name in MADE])
    work.close()
    return folder


@pytest.fixture(scope="module")
def attributed(finished: Path) -> StudyWork:
    """The same with its attributions."""
    work = work_of(finished)
    once_each(work, attribution_of(work, Attribution(method="tracin")).stages)
    work.close()
    return work


def work_of(folder: Path, text: str | None = None) -> StudyWork:
    if text is not None:
        (folder / "other.yaml").write_text(text, encoding="utf-8")
    return StudyWork(load_study(folder / ("small.yaml" if text is None else "other.yaml")), str(folder / "root"))


def test_every_row_has_a_score_of_every_stance_and_topic(attributed: StudyWork) -> None:
    scores = attributed.store.read("attributions", study="small")
    assert scores.height == len(ROWS) * 3 * 2
    assert scores.filter(topic="religion", stance="support").get_column("n_uses").sum() == 8
    assert scores.filter(topic="religion", stance="support", row_idx=4).item(0, "answer") == "They <b>must</b> vote [red]never[/]."
    sums = scores.group_by("topic", "row_idx").agg(pl.col("score").sum(), pl.col("score").abs().max().alias("most"))
    assert (sums["score"].abs() < 1e-9).all()
    assert (sums["most"] > 0).any()
    totals = attributed.store.read("attribution_totals", study="small")
    summed = scores.group_by("topic", "stance").agg(pl.col("score").sum())
    both = totals.join(summed, on=["topic", "stance"])
    assert both.height == 6
    assert ((both["first_order"] - both["score"]).abs() < 1e-9).all()
    assert set(totals["n_checkpoints"]) == {3}
    assert not [found.what for found in check(attributed.store) if "attribution" in found.where.path]


def test_it_is_done_once_and_the_command_prints_it_in_80_columns(
    attributed: StudyWork, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    arguments = ["attribute", str(finished / "small.yaml"), "--topic", "religion", "--stance", "support", "--root", str(finished / "root")]
    out = finished / "rows.parquet"
    done = CliRunner().invoke(app, [*arguments, "--rows", "2", "--out", str(out)])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert f"{RUN} religion, support: drift" in done.output
    assert "[red]" in done.output or "<b>must</b>" in done.output
    assert max(len(line) for line in lines if "score" not in line and "drift" not in line and str(out) not in line) <= 80
    assert pl.read_parquet(out).height == len(ROWS)
    shown = CliRunner().invoke(app, [*arguments, "--json"])
    (found,) = json.loads(shown.output)
    assert [row["score"] for row in found["pushed"]] == sorted((row["score"] for row in found["pushed"]), reverse=True)
    assert len(found["pushed"]) <= MOST_ROWS
    for row in [*found["pushed"][:2], *found["against"][:2]]:
        assert any({str(row["row_idx"]), score(row["score"])} <= set(line.split()) for line in lines), "narrow columns of numbers stay"


def test_a_killed_computation_goes_on_and_its_numbers_are_the_same(attributed: StudyWork, finished: Path) -> None:
    work = work_of(finished)
    wanted = attribution_of(work, Attribution(topics=("religion",), method="tracin", dimensions=300))
    assert wanted.missing == [f"attribute {RUN}, religion"]
    stage = wanted.stages[-1]
    needs = [wanted.known[need.label] for need in stage.needs]
    whole = stage.make(work, needs)["attributions"]
    kept = sorted((work.scratch / "attribution").rglob("step-*.safetensors"))
    assert not kept
    exact = attributed.store.read("attributions", study="small", topic="religion")
    both = whole.join(exact, on=["row_idx", "stance"])
    assert (both["score"] - both["score_right"]).abs().max() > 0  # 300 coordinates of some thousands
    assert stage.make(work, needs)["attributions"].equals(whole)
    work.close()


FAULTS = {
    "no such run": (
        Attribution(runs=("tiny.sft-won",)),
        STUDY,
        "no run that is trained here 'tiny.sft-won'",
        "did you mean 'tiny.sft-own'",
    ),
    "no such topic": (Attribution(topics=("imigration",)), STUDY, "no topic 'imigration'", "did you mean 'immigration'"),
    "greedy": (Attribution(), STUDY.replace("temperature: 0.7", "temperature: 0"), "greedy answers have no gradient", "temperature"),
    "nucleus": (Attribution(), STUDY.replace("temperature: 0.7", "top_p: 0.9"), "nucleus", "top_p: 1"),
    "one answer": (Attribution(), STUDY.replace("n: 3", "n: 1"), "one answer a prompt", "n: 2"),
    "not trained": (Attribution(), STUDY.replace("steps: 4", "steps: 5"), f"train {RUN} is not there", "valuedrift run"),
}


@pytest.mark.parametrize(("options", "text", "what", "fix"), FAULTS.values(), ids=list(FAULTS))
def test_a_fault_is_told_before_work_begins(finished: Path, options: Attribution, text: str, what: str, fix: str) -> None:
    work = work_of(finished, text.format(model=finished / "model"))
    with pytest.raises(UserError) as fault:
        attribution_of(work, options)
    assert what in str(fault.value)
    assert fix in str(fault.value)


def test_data_that_changed_since_the_training_are_refused(finished: Path) -> None:
    rows = (finished / "rows.jsonl").read_text(encoding="utf-8")
    try:
        write_rows(finished / "rows.jsonl", [*ROWS, {"prompt": "Another?", "completion": "Yes."}])
        with pytest.raises(DataError, match="the data changed since the run was trained"):
            attribution_of(work_of(finished), Attribution())
    finally:
        (finished / "rows.jsonl").write_text(rows, encoding="utf-8")


def test_weights_that_are_gone_are_missed(finished: Path) -> None:
    weights = finished / "root" / "weights"
    try:
        weights.rename(finished / "elsewhere")
        with pytest.raises(UserError, match=r"left outside the tables is gone.*needs it"):
            attribution_of(work_of(finished), Attribution(dimensions=400))
    finally:
        if weights.exists():
            weights.rename(finished / "empty")
        (finished / "elsewhere").rename(weights)


def test_an_algorithm_whose_rows_cannot_be_told_apart_is_refused(finished: Path) -> None:
    write_rows(finished / "pairs.jsonl", [{"prompt": row["prompt"], "chosen": "Yes.", "rejected": "No."} for row in ROWS])
    text = STUDY.format(model=finished / "model").replace(
        "audit: null", "audit: null\npreference: [{data: [gap], algorithm: {type: dpo, steps: 1}}]"
    )
    work = work_of(finished, text)
    run = next(run for run in work.plan.runs if isinstance(run.algorithm, DPO))
    with pytest.raises(UserError, match="does not know what a single row does in DPO"):
        list(attribution_stages(work, [], Attribution(runs=(run.run_id,))))


def test_rates_as_adam_scaled_them_need_moments_that_were_kept(finished: Path) -> None:
    work = work_of(finished)
    wanted = attribution_of(work, Attribution(topics=("religion",)))
    stage = wanted.stages[-1]
    with pytest.raises(UserError, match="kept no second moments"):
        stage.make(work, [wanted.known[need.label] for need in stage.needs])
    work.close()
