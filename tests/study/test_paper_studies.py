"""The studies of the paper's protocol: each plans without a hub, says in its head what its plan says, and fits the GPU that it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from valuedrift.corpora.load import count_rows
from valuedrift.flows.cli import plan as _plan  # noqa: F401 # enters the command
from valuedrift.flows.cli.app import app
from valuedrift.flows.cli.naming import engine_config
from valuedrift.judges.cascade import Cascade
from valuedrift.study import expand, load_study
from valuedrift.study.memory import memory

STUDIES = Path(__file__).resolve().parents[2] / "deployments" / "studies"
PAPER = STUDIES / "paper"
NAMES = ("ablations", "capability", "hh-rlhf", "sft", "synthetic", "ultrafeedback")
FILES = tuple(PAPER / f"{name}{kind}.yaml" for name in NAMES for kind in ("", "-lora"))


def said_in_the_head(path: Path) -> list[str]:
    """What the comment at the head of a study says that its plan says."""
    lines = [line.removeprefix("#").strip() for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    begin = next(i for i, line in enumerate(lines) if "`valuedrift plan` says: " in line)
    judge = [line.removeprefix("judge: ") for line in lines[begin + 1 :] if line.startswith("judge: ")]
    return " · ".join([lines[begin].partition("says: ")[2], *judge]).split(" · ")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_head_of_a_study_says_what_its_plan_says(path: Path) -> None:
    planned = CliRunner().invoke(app, ["plan", str(path)])
    assert planned.exit_code == 0, planned.output
    said = said_in_the_head(path)
    assert len(said) == 5 and "GPU-hours" in said[1] and "on disk" in said[2] and "$" in said[3]
    assert [part for part in said if part not in planned.output] == []
    assert "budget" not in planned.output, "what the judge may spend is enough"


@pytest.mark.parametrize("name", ["laptop", "ablations-laptop"])
def test_the_head_of_a_study_for_a_laptop_says_what_its_plan_says(name: str) -> None:
    planned = CliRunner().invoke(app, ["plan", str(STUDIES / f"{name}.yaml")])
    said = said_in_the_head(STUDIES / f"{name}.yaml")
    assert planned.exit_code == 0 and len(said) == 3 and [part for part in said if part not in planned.output] == []
    minutes = re.search(r"about (\d+) min on 2 CPU cores", planned.output)
    assert minutes is not None and int(minutes[1]) <= 90


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_models_of_a_training_fit_the_gpu_with_all_that_is_computed(path: Path) -> None:
    study = load_study(path)
    room = study.runtime.gpu_gigabytes
    assert room is not None and study.runtime.checkpoints.keep == "last"
    for run in expand(study, count_rows).runs:
        assert run.model.known_parameters is not None and run.total_steps
        held = memory(run.algorithm, run.model.known_parameters, study.runtime)
        assert held.states + held.activations < room * 1e9, run.run_id
        assert (run.algorithm.lora is None) == (not path.stem.endswith("-lora"))


def test_one_root_trains_what_several_studies_have_in_common_once() -> None:
    """By all of a training's identity but its rows: SFT of the model that the studies with full weights share, and of all with adapters."""
    for kind in ("", "-lora"):
        trained = {
            run.run_id: run.identity(parent="p", dataset=run.dataset_name, dtype="bfloat16")
            for run in expand(load_study(PAPER / f"sft{kind}.yaml"), count_rows).runs
        }
        for name in ("ablations", "hh-rlhf", "synthetic", "ultrafeedback"):
            runs = expand(load_study(PAPER / f"{name}{kind}.yaml"), count_rows).runs
            first = [run for run in runs if run.parent_run_id is None]
            assert first and all(
                run.identity(parent="p", dataset=run.dataset_name, dtype="bfloat16") == trained[run.run_id] for run in first
            )


@pytest.mark.parametrize(
    "path", [PAPER / "ablations.yaml", PAPER / "ablations-lora.yaml", STUDIES / "ablations-laptop.yaml"], ids=lambda path: path.stem
)
def test_an_ablation_varies_one_factor_at_a_time(path: Path) -> None:
    study = load_study(path)
    runs = [run for run in expand(study, count_rows).runs if run.parent_run_id is not None]
    by_phase = {phase: [run.algorithm.model_dump() for run in runs if run.phase == phase] for phase in ("dpo", "simpo", "ppo")}
    factors = {"dpo": "beta", "simpo": "gamma", "ppo": "kl_coefficient"}
    assert len(runs) == sum(map(len, by_phase.values()))
    for phase, (first, *others) in by_phase.items():
        assert others
        for other in others:
            assert [key for key in first if first[key] != other[key]] == [factors[phase]]


def test_the_judge_of_each_is_the_cascade_of_the_same_two() -> None:
    judges = {(study.judges[0], study.judges[1]) for study in map(load_study, FILES)}
    assert len(judges) == 1 and isinstance(judges.pop()[0], Cascade)


def test_the_writer_of_the_pairs_is_an_engine() -> None:
    writer = engine_config(str(PAPER / "writer.yaml"), [], "--writer", "starter")
    assert writer is not None and writer.type == "vllm" and writer.model_dump()["tensor_parallel"] > 1
