"""Every block of docs/judges.md is what it says: a study reads it, `plan` plans it, and the commands name the judges of the blocks."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from valuedrift.flows.cli import plan as _plan  # noqa: F401 # enters the command
from valuedrift.flows.cli.app import app
from valuedrift.flows.cli.naming import named_judge
from valuedrift.judges.registry import JUDGE
from valuedrift.study import Study, load_study

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "judges.md").read_text(encoding="utf-8")
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
STUDIES = [block["judges"] for block in BLOCKS if "judges" in block]
FILES = [block for block in BLOCKS if "type" in block]
PRICES = [block for block in BLOCKS if not {"judges", "type"} & set(block)]
RECOMMENDED = PAGE.split("\n## Recommended\n")[1].split("\n## ")[0]
IN_IT = [yaml.safe_load(block)["judges"] for block in re.findall(r"```yaml\n(judges:.*?)```", RECOMMENDED, re.DOTALL)]
COMMANDS = [
    shlex.split(line) for block in re.findall(r"```\n(valuedrift .*?)```", RECOMMENDED, re.DOTALL) for line in block.strip().splitlines()
]


def study(folder: Path, judges: list[dict[str, Any]], topics: int = 2, probes: int = 20) -> Study:
    """The study that `init` writes with other judges, large enough for a share of 0.05, and the price files that the blocks name."""
    content = yaml.safe_load((ROOT / "valuedrift" / "data" / "studies" / "first.yaml").read_text(encoding="utf-8"))
    content["judges"] = judges
    content["probes"] = {"set": "starter", "topics": ["immigration", "religion"][:topics], "per_topic": probes}
    (folder / "study.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    prices = {"gpt-4o": {"input": 2.5, "output": 10}}
    (folder / "prices.yaml").write_text(yaml.safe_dump({**prices, **{name: line for block in PRICES for name, line in block.items()}}))
    return load_study(folder / "study.yaml")


@pytest.mark.parametrize("judges", STUDIES, ids=lambda judges: "+".join(str(judge.get("name", judge["type"])) for judge in judges))
def test_a_study_reads_every_block(judges: list[dict[str, Any]], tmp_path: Path) -> None:
    named = {judge.name for judge in study(tmp_path, [*judges, *_members(judges)]).judges}
    assert {judge.get("name", judge["type"]) for judge in judges} <= named


def _members(judges: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Members of a block's panels that the block leaves to the reader."""
    there = {judge.get("name", judge["type"]) for judge in judges}
    wanted = {name for judge in judges for name in judge.get("members", ())}
    return [{"type": "cross-encoder", "name": name} for name in sorted(wanted - there)]


@pytest.mark.parametrize("judge", FILES, ids=lambda judge: str(judge["type"]))
def test_a_file_of_one_judge_is_one(judge: dict[str, Any]) -> None:
    assert JUDGE.validate_python(judge).type == judge["type"]


@pytest.mark.parametrize("judges", IN_IT, ids=lambda judges: f"{judges[0]['type']}-{judges[-1]['type']}-{len(judges)}")
def test_a_plan_says_what_a_recommended_judge_reads(judges: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study(tmp_path, judges)
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(app, ["plan", "study.yaml", "--root", "root"])
    assert said.exit_code == 0, said.output
    if judges[0]["type"] == "cascade":
        lines = [line for line in said.output.splitlines() if "of the answers:" in line]
        assert len(lines) >= 3 and all("tokens" in line and "drift" in line for line in lines)
        assert all(("$" in line) == (judges[-1]["type"] == "openai") for line in lines)
        assert max(len(line) for line in lines[1:]) <= 80
    elif judges[0]["type"] == "openai":
        assert "judge deep:" in said.output and "$" in said.output


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[2:5]))
def test_the_command_below_names_the_judge_of_the_block(command: list[str]) -> None:
    assert command[:4] == ["valuedrift", "judge", "validate", "--judge"]
    assert set(command[5::2]) <= {"--set"}
    settings = command[6::2]
    asked = named_judge(command[4], settings)
    blocks = [JUDGE.validate_python(judge) for judges in IN_IT for judge in judges]
    assert asked in blocks and len(command) == 5 + 2 * len(settings)


def test_three_places_have_a_judge_a_cascade_and_a_command() -> None:
    assert len(IN_IT) == 7 and len(COMMANDS) == 4 and sum(judges[0]["type"] == "cascade" for judges in IN_IT) == 3
