"""``valuedrift probes show``: the text and the tokens that a checkpoint is asked are those that the engines make."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))  # untied
from untied import save_untied

import valuedrift.flows.cli.probes  # noqa: F401  # enters the command
from valuedrift.engines.base import EngineSettings
from valuedrift.engines.decoding import loop
from valuedrift.engines.transformers import TransformersEngine
from valuedrift.errors import UserError
from valuedrift.flows.cli.app import app
from valuedrift.study import load_study
from valuedrift.tasks.study_work import StudyWork
from valuedrift.weights import Weights

TEMPLATE = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{% if think is false %}<quick>{% endif %}[answer]"
ROWS = [
    {"prompt_id": "a", "topic": "zoos", "prompt": "Is <end> kind?"},
    {"prompt_id": "b", "topic": "zoos", "prompt": "Are they?", "persona": "I am a nurse.", "options": ["Yes", "No"]},
    {"prompt_id": "c", "topic": "zoos", "prompt": "Why \x1b[31m?", "system": "Be brief."},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, probes, and a study of both that says how questions are put."""
    here = tmp_path_factory.mktemp("show")
    save_untied(here / "model")
    (here / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    (here / "chat.jinja").write_text(TEMPLATE, encoding="utf-8")
    study = {
        "study": "s",
        "probes": {"set": "mine.jsonl"},
        "models": {"tiny": {"path": "./model"}},
        "corpora": {"neutral": {"data": "starter:sft-neutral", "limit": 8}},
        "sft": [{"data": ["neutral"], "algorithm": {"type": "sft", "steps": 1}}],
        "sampling": {"n": 1, "max_new_tokens": 1, "system": "S", "chat_template": "chat.jinja", "chat_template_kwargs": {"think": False}},
        "dtype": "float32",
    }
    (here / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    return here


def shown(*arguments: str) -> Any:
    """What the command prints as JSON."""
    done = CliRunner().invoke(app, ["probes", "show", *arguments, "--json"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_study_is_shown_as_its_sampling_says(folder: Path) -> None:
    rows = shown(str(folder / "study.yaml"), "--root", str(folder / "root"))
    assert [row["text"] for row in rows] == [
        "[system]S[user]Is <end> kind?<quick>[answer]",
        "[system]S[user]I am a nurse.\n\nAre they?\n\nA. Yes\nB. No\n\nAnswer with the letter of one option.<quick>[answer]",
        "[system]Be brief.[user]Why \x1b[31m?<quick>[answer]",
    ]
    assert ["".join(row["tokens"]) for row in rows] == [row["text"] for row in rows]
    assert 0 not in rows[0]["token_ids"]  # <end> in a question is text
    assert rows[2]["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": ROWS[2]["prompt"]}]


def test_the_tokens_are_those_that_the_engine_decodes_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    decode = loop.decode

    def watched(model: Any, groups: Any, **settings: Any) -> None:
        seen.extend(list(group[0].prompt) for group in groups)
        decode(model, groups, **settings)

    monkeypatch.setattr(loop, "decode", watched)
    work = StudyWork(load_study(folder / "study.yaml"), str(folder / "root"))
    with TransformersEngine(Weights(base=folder / "model"), "f", EngineSettings(dtype="float32", device="cpu")) as engine:
        engine.sample(work.asked, work.study.sampling)
    assert seen == [row["token_ids"] for row in shown(str(folder / "study.yaml"), "--root", str(folder / "root"))]


def test_a_set_is_shown_to_a_base_model_in_the_plain_form(folder: Path) -> None:
    (row,) = shown(str(folder / "mine.jsonl"), "--model", str(folder / "model"), "--id", "c")
    assert row["text"] == "Be brief.\nWhy \x1b[31m?\nResponse:"


def test_what_is_not_shown_is_counted(folder: Path) -> None:
    few = CliRunner().invoke(app, ["probes", "show", str(folder / "mine.jsonl"), "--model", str(folder / "model"), "--limit", "1"])
    assert few.exit_code == 0 and "2 more: --id, or --limit 0 for all" in few.stderr and "mine · a · zoos" in few.stdout
    assert len(shown(str(folder / "mine.jsonl"), "--model", str(folder / "model"), "--limit", "0")) == 3


def test_nothing_in_a_question_steers_the_terminal(folder: Path) -> None:
    done = CliRunner().invoke(
        app, ["probes", "show", str(folder / "mine.jsonl"), "--model", str(folder / "model"), "--id", "c", "--tokens"]
    )
    assert "\x1b" not in done.stdout and r"Why \x1b[31m?" in done.stdout and "'?'" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mine.jsonl"], "whose template and tokens"),
        (["mine.jsonl", "--model", "model", "--id", "d"], "no probe 'd'"),
        (["nowhere.csv", "--model", "model"], "no such probe set"),
        (["mine.jsonl", "--model", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_shown_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match=message):
        shown(*arguments)


def test_of_a_server_a_tokenizer_must_be_named(folder: Path) -> None:
    study = {
        "study": "s",
        "probes": {"set": "mine.jsonl"},
        "served": {"r": {0: "a", 1: "b"}},
        "engine": {"type": "openai", "base_url": "http://127.0.0.1:9/v1"},
    }
    (folder / "served.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    with pytest.raises(UserError, match="a server makes text and tokens by itself"):
        shown(str(folder / "served.yaml"), "--root", str(folder / "root"))
    assert len(shown(str(folder / "served.yaml"), "--model", str(folder / "model"), "--root", str(folder / "root"))) == 3
