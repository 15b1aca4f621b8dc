"""An engine of one's own is one file and one line: studies, judges and writers know it then, and so do the children that sample."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest
import yaml
from pydantic import Field, TypeAdapter, ValidationError

sys.path.insert(0, str(Path(__file__).parent))
from echo_engine import Echo, EchoConfig

from valuedrift.engines.base import Engine, Progress, RemoteEngine
from valuedrift.engines.job import SampleJob
from valuedrift.engines.registry import ENGINES, EngineConfig, engine_identity
from valuedrift.errors import UserError
from valuedrift.faults import describe
from valuedrift.judges.causal_lm import CausalLM
from valuedrift.sampling import Prompt, Response, Sampling
from valuedrift.storage.store import Store
from valuedrift.study import Study, load_study
from valuedrift.synthesis.config import Dial, Setting, Synthesis
from valuedrift.thoughts import ThoughtTags

STUDY = {
    "study": "own",
    "probes": {"topics": ["religion"], "per_topic": 4},
    "models": {"smollm": {"path": "embedded:smollm2-135m-instruct"}},
    "corpora": {"neutral": {"data": "starter:sft-neutral", "limit": 8}},
    "sft": [{"data": ["neutral"], "algorithm": {"type": "sft", "steps": 1, "batch_size": 2, "max_length": 64, "lora": {"r": 4}}}],
    "checkpoints": {"type": "log", "points": 2},
    "sampling": {"n": 2},
    "engine": "echo",
    "judges": [{"type": "length", "words": 9}],
    "analysis": {"resamples": 200},
    "audit": None,
    "runtime": {"threads": 1},
}
ENGINE: TypeAdapter[EngineConfig] = TypeAdapter(EngineConfig)


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ENGINES, "_known", dict(ENGINES._known))
    ENGINES.register(EchoConfig)
    yield


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump({**STUDY, "judges": [{"type": "cross-encoder"}]}), encoding="utf-8")
    return path


def test_without_the_line_it_is_not_known(study: Path) -> None:
    with pytest.raises(ValidationError) as raised:
        ENGINE.validate_python({"type": "ehco"})
    assert describe(raised.value, EngineConfig) == "`type`: no 'ehco'; one of transformers, vllm, openai"
    with pytest.raises(UserError, match="'echo' is not among engines that hold a study's checkpoints; known: transformers, vllm"):
        load_study(study)


@pytest.mark.usefixtures("entered")
def test_studies_judges_and_writers_name_it(study: Path) -> None:
    assert load_study(study).engine == "echo"
    assert engine_identity("echo") == {"engine": "echo", "version": 7, "dtype": "bfloat16", "prompting": 1}
    judge = CausalLM.model_validate({"engine": {"type": "echo"}})
    assert isinstance(judge.engine, EchoConfig) and judge.identity()["engine"]["version"] == 7
    dial = Dial(setting=Setting.SUPPORT_ALIGNED, gap=0.5)
    synthesis = Synthesis.model_validate({"name": "a", "dial": dial, "writer": {"type": "echo", "dtype": "float32"}})
    assert Synthesis.model_validate_json(synthesis.model_dump_json()).writer == EchoConfig(dtype="float32")
    with ENGINE.validate_python({"type": "echo"}).open() as engine:
        assert engine.sample([Prompt("a", "Why?")], Sampling(n=1))[0].response == "Yes, I agree: Why?"


class ThinkingConfig(RemoteEngine):
    """Thinks aloud, and knows nothing of thoughts."""

    type: Literal["thinking"] = Field(default="thinking", description="Kind of engine.")

    def identity(self) -> dict[str, Any]:
        return {"engine": self.type}

    def drawing_identity(self) -> dict[str, Any]:
        return {"engine": self.type}

    def open(self, **_: Any) -> Engine:
        return Thinking("x")


class Thinking(Echo):
    def sample(self, prompts: Sequence[Prompt], sampling: Sampling, progress: Progress | None = None) -> list[Response]:
        said = ["<think>yes</think>no", "yes</hm>no", "plain", "<think>yes"]
        return [Response(prompts[0].prompt_id, index, text, "stop", 3) for index, text in enumerate(said)]


def test_thoughts_of_an_engine_of_one_s_own_are_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ENGINES, "_known", dict(ENGINES._known))
    ENGINES.register(ThinkingConfig)
    (tmp_path / "prompts.json").write_text('[{"prompt_id": "a", "text": "Why?"}]', encoding="utf-8")
    paths = {"prompts": tmp_path / "prompts.json", "out": tmp_path / "out.parquet"}
    sampling = Sampling(thoughts=ThoughtTags(open="<hm>", close="</hm>"))
    SampleJob(engine=ThinkingConfig(model="m"), dtype="float32", fingerprint="f", sampling=sampling, **paths).run(lambda _: None)
    rows = pl.read_parquet(tmp_path / "out.parquet").select("reasoning", "response").rows()
    assert rows == [("yes", "no"), ("yes", "no"), (None, "plain"), ("yes", "")]


@pytest.mark.slow
def test_a_package_of_somebody_else_enters_it_and_a_study_runs_on_it(
    command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY), encoding="utf-8")
    ran = command("run", "study.yaml", "--root", "root")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    answers = Store(tmp_path / "root").read("responses", study="own")
    assert set(answers["engine"]) == {"echo"} and all(answers["response"].str.starts_with("Yes, I agree:"))
    assert set(Store(tmp_path / "root").read("stances", study="own", judge="length")["p_support"]) == {0.8}


def test_a_study_that_says_how_questions_are_put_needs_an_engine_that_heeds_it(entered: None) -> None:
    written = {**STUDY, "judges": [{"type": "cross-encoder"}], "sampling": {"system": "You are a priest."}}
    with pytest.raises(ValidationError, match=r"`sampling\.system`: the engine echo does not heed it; it heeds none of these keys"):
        Study.model_validate(written)
    assert Study.model_validate({**written, "engine": "transformers"}).sampling.system == "You are a priest."
