"""Stances that were imported lead to drift, figures and a report without a study file; what is not known of them stays unknown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "drift"))
from made_stances import made_stances

import valuedrift as vd
from valuedrift.drift.analyze import analyze
from valuedrift.drift.options import Analysis
from valuedrift.errors import UserError
from valuedrift.report.answer import asked
from valuedrift.results.facts import ANALYSED, CONCLUDED
from valuedrift.storage.exchange import import_table
from valuedrift.storage.store import Store
from valuedrift.tasks.once import once_each
from valuedrift.tasks.reporting import inputs_of
from valuedrift.tasks.result import Reference
from valuedrift.tasks.stages.given import GivenWork, stages_of_given
from valuedrift.tasks.stages.report import folder_of_report


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stance table of somebody: two runs, a topic that is called like markup, and one."""
    path = tmp_path_factory.mktemp("theirs") / "theirs.parquet"
    frame = made_stances(runs=2, prompts=12, steps=3, seed=3)
    frame.with_columns(pl.col("topic").replace("topic1", "<b>immigration</b>")).write_parquet(path)
    return path


def brought(theirs: Path, root: str, study: str = "lab") -> GivenWork:
    import_table(Store(root), str(theirs), "stances", study, fill={"judge": "gpt"})
    return GivenWork(study, root)


def done(work: GivenWork, *, page: bool = False) -> dict[str, list[Reference]]:
    """Each kind of stage with what was there or made; the page and its figures take longer than all else."""
    kinds: dict[str, list[Reference]] = {}
    for stage, result in once_each(work, [stage for stage in stages_of_given(work) if page or stage.name != "report"]).items():
        kinds.setdefault(stage.name, []).append(result)
    return kinds


@pytest.fixture(scope="module")
def reported(theirs: Path, tmp_path_factory: pytest.TempPathFactory) -> GivenWork:
    """The study, with all its stages done."""
    work = brought(theirs, str(tmp_path_factory.mktemp("root") / "root"))
    done(work, page=True)
    return work


def test_drift_and_trajectory_are_those_of_analyze(reported: GivenWork, theirs: Path) -> None:
    named = pl.read_parquet(theirs).with_columns(study=pl.lit("lab"), judge=pl.lit("gpt"))  # the bootstrap's seed holds the study's name
    wanted, root = analyze(named, Analysis()), vd.open(reported.root)
    keys = ["run_id", "topic", "stance"]
    for found, table in ((root.drift(study="lab"), wanted.drift), (root.trajectory(study="lab"), wanted.trajectory)):
        same = [name for name in table.columns if name in found.columns]
        order = [*keys, "step"] if "step" in same else keys
        assert found.select(same).sort(order).equals(table.select(same).sort(order).cast(found.select(same).schema))
        assert found["judge"].unique().to_list() == ["gpt"]


def test_every_table_of_a_study_is_there_and_sound(reported: GivenWork) -> None:
    from valuedrift.storage.check_tables import check

    assert {entry.table for entry in reported.store.entries(study="lab")} == {"stances", "runs", *ANALYSED, *CONCLUDED}
    assert check(reported.store) == []


def test_the_page_says_what_is_not_known(reported: GivenWork) -> None:
    page = (folder_of_report(reported) / "report.html").read_bytes().decode()
    for told in ("Stances imported from theirs.parquet", "2 training runs, 6 judged checkpoints", "What the runs were trained on is not known here",
                 "what it is and how good it is: not known", "The quality of the judge was not measured", "10 not tested"):  # fmt: skip
        assert told in page, told
    for invented in ("cross-encoder", "audit: null", "yaml"):  # of judges and files that this study does not have
        assert invented not in page, invented
    assert "<b>immigration" not in page and "&lt;b&gt;immigration" in page
    figures = {found.location.name for found in (folder_of_report(reported) / "figures").listing()}
    assert {"trajectory-topic0.pdf", "drift-forest.svg", "drift-heatmap.png"} <= figures


def test_a_second_report_makes_nothing(reported: GivenWork) -> None:
    assert all(result.reused for results in done(GivenWork("lab", reported.root), page=True).values() for result in results)


def test_other_stances_make_all_again(theirs: Path, tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    first = done(brought(theirs, root))
    assert not any(result.reused for name in ("adopt", "analyze", "conclude") for result in first[name])
    before = vd.open(root).drift()
    less = tmp_path / "less.parquet"
    pl.read_parquet(theirs).filter(pl.col("prompt_id") != "t0-p0").write_parquet(less)
    import_table(Store(root), str(less), "stances", "lab", fill={"judge": "gpt"}, replace=True)
    again = done(GivenWork("lab", root))
    assert not any(result.reused for name in ("adopt", "analyze", "conclude") for result in again[name])
    assert vd.open(root).drift()["n_prompts"].sum() < before["n_prompts"].sum()


def test_runs_that_were_imported_too_are_kept(theirs: Path, tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    work = brought(theirs, root)
    done(work)
    named = work.store.read("runs", run_id="run0").with_columns(model=pl.lit("olmo"), phase=pl.lit("dpo"), dataset=pl.lit("ultrafeedback"))
    named.drop("study").write_parquet(tmp_path / "runs.parquet")
    import_table(Store(root), str(tmp_path / "runs.parquet"), "runs", "lab", replace=True)
    again = done(GivenWork("lab", root))
    assert len(again["adopt"]) == 1 and not again["conclude"][0].reused and again["analyze"][0].reused
    inputs = inputs_of(work.store, "lab")
    assert [run.title for run in inputs.lineage.runs] == ["olmo: DPO ultrafeedback", "run1"]
    assert asked(inputs).startswith("2 training runs of olmo, 6 judged checkpoints")


def test_a_root_on_s3_is_reported_alike(theirs: Path, s3_root: str, reported: GivenWork) -> None:
    done(brought(theirs, s3_root))
    far, near = (vd.open(root).drift(study="lab") for root in (s3_root, reported.root))
    assert far.equals(near)


def test_two_judges_are_told_apart(theirs: Path, tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    import_table(Store(root), str(theirs), "stances", "lab", fill={"judge": "a-judge"})
    few = tmp_path / "few.csv"
    pl.read_parquet(theirs).filter(run_id="run1").write_csv(few)
    import_table(Store(root), str(few), "stances", "lab", fill={"judge": "another"})
    work = GivenWork("lab", root)
    done(work)
    assert work.facts.judge == "a-judge"
    assert vd.open(root).drift(judge="another")["run_id"].unique().to_list() == ["run1"]
    assert work.store.read("agreement", study="lab")["among"].unique().to_list() == ["judges"]


def test_a_study_that_its_file_made_is_not_reported_by_its_name(reported: GivenWork, theirs: Path, tmp_path: Path) -> None:
    store = Store(tmp_path)
    entry = reported.parts[0]
    rows = reported.store.read_entry(entry).drop("study", "run_id", "step")
    store.put("stances", rows, partition={**entry.partition, "study": "trained"}, key="k", identity={"stage": "judge"}, slot=entry.slot)
    with pytest.raises(UserError, match=r"were judged here.*give that file in place of the name"):
        GivenWork("trained", str(tmp_path))
    with pytest.raises(UserError, match=r"no study 'trainde'.*did you mean 'trained'"):
        GivenWork("trainde", str(tmp_path))


def test_the_commands_lead_from_a_file_to_a_page(theirs: Path, tmp_path: Path) -> None:
    def valuedrift(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "valuedrift.flows.cli.main", *arguments, "--root", str(tmp_path / "root")]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)

    came = valuedrift("tables", "import", str(theirs), "--study", "lab", "--judge", "gpt")
    assert came.returncode == 0, came.stderr
    assert "valuedrift report lab" in came.stdout
    done = valuedrift("report", "lab", "--report", str(tmp_path / "page"))
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "page" / "report.html") in done.stdout.splitlines()[-1] and "run1" in done.stdout
    assert done.stderr == ""
    assert (tmp_path / "page" / "report.html").exists() and (tmp_path / "page" / "figures" / "drift-forest.pdf").exists()
    (tmp_path / "lob").mkdir()  # a folder is no study file
    wrong = valuedrift("report", "lob")
    assert wrong.returncode == 2 and "did you mean 'lab'" in wrong.stderr and "Traceback" not in wrong.stderr
