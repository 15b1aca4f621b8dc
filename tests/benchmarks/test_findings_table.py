"""The tables of docs/findings.md, made again: the demo under both packaged judges, and the ablations. Some forty minutes on two cores.

With FINDINGS_ROOT their roots are its folders ``demo`` and ``ablations-laptop``: what is there is not made again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from scipy.special import stdtrit

import valuedrift as vd
from valuedrift.findings.paper import FINDINGS
from valuedrift.findings.tables import Effect, Tables

pytestmark = [pytest.mark.figures, pytest.mark.slow]

STUDIES = Path(__file__).resolve().parents[2] / "deployments" / "studies"
BETTER = "{type: cross-encoder, name: embedded-2, weights: embedded-2}"
DEMO = "smollm.sft-neutral"


def of_run(folder: Path, study: Path, root: Path) -> pl.DataFrame:
    """The findings of a study that is run to its end."""
    command = [sys.executable, "-m", "valuedrift.flows.cli.main", "run", str(study), "--root", str(root)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return vd.open(root).store.read("findings", study=study.stem)


def smallest(effect: Effect) -> float:
    """The drift that a test with this effect's error finds in 80 of 100 studies, at 5% on both sides."""
    free = effect.n_prompts - 1
    return float((effect.high - effect.low) / 2 * (1 + stdtrit(free, 0.8) / stdtrit(free, 0.975)))


def of_judge(root: Path, study: str, judge: str) -> Tables:
    """A study as one judge sees it."""
    read = vd.open(root).store.read
    stances = read("stances", study=study).filter(pl.col("judge") == judge)
    return Tables(read("runs", study=study), read("drift", study=study), stances, {}, {})


def words(effect: Effect) -> str:
    """An effect, its interval, and the smallest that would have been seen."""
    return f"{effect.estimate:+.2f} [{effect.low:+.2f}, {effect.high:+.2f}] | {smallest(effect):.2f}"


def test_the_findings_and_the_ablations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    roots = Path(os.environ.get("FINDINGS_ROOT", tmp_path / "roots")).resolve()
    demo = tmp_path / "demo.yaml"
    demo.write_text(
        (STUDIES / "demo.yaml").read_text(encoding="utf-8") + f"judges: [{BETTER}, {{type: cross-encoder}}]\n", encoding="utf-8"
    )
    judged = of_run(tmp_path, demo, roots / "demo")
    ablated = of_run(tmp_path, STUDIES / "ablations-laptop.yaml", roots / "ablations-laptop")
    with capsys.disabled():
        print()
        for finding in FINDINGS:
            found = [
                frame.filter(pl.col("finding") == finding.id, pl.col("judge") == judge).get_column("outcome").item()
                for frame, judge in ((judged, "cross-encoder"), (judged, "embedded-2"), (ablated, "embedded-2"))
            ]
            print(f"| {finding.statement} | {' | '.join(found)} |")
        print()
        for judge in ("cross-encoder", "embedded-2"):
            tables = of_judge(roots / "demo", "demo", judge)
            for run in tables.runs.get_column("run_id").sort():
                stance = "neutral" if run == DEMO else "support"
                print(f"| {run.removeprefix('smollm.')} | {judge} | {stance} | {words(tables.overall(run)[stance])} |")
        print()
        tables = of_judge(roots / "ablations-laptop", "ablations-laptop", "embedded-2")
        varied = [run for run in tables.runs.get_column("run_id").sort() if run != DEMO]
        for run in varied:
            reference = max((one for one in varied if run.startswith(one)), key=lambda one: -len(one))
            beside = "" if reference == run else words(tables.difference(reference, run)["support"])
            print(f"| {run.removeprefix(DEMO + '.')} | {words(tables.overall(run)['support'])} | {beside or '|'} |")
    up = judged.filter(pl.col("finding") == "sft-support-up")
    assert up.get_column("outcome").to_list() == ["seen", "seen"], "SFT on supporting answers raises support, under either judge"
