"""How commands name a judge or an engine: by type, by file, with single keys set on top; faults name the nearest valid key."""

from __future__ import annotations

from pathlib import Path

import pytest

from valuedrift.engines.transformers import TransformersEngineConfig
from valuedrift.errors import UserError
from valuedrift.flows.cli.naming import engine_config, judge_config
from valuedrift.judges.causal_lm import CausalLM
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.registry import JUDGE, judge_identity


def test_a_type_alone_has_its_defaults() -> None:
    assert judge_config() == CrossEncoder()
    assert judge_config("causal-lm") == CausalLM()


def test_keys_are_set_by_the_rules_of_yaml() -> None:
    judge = judge_config("causal-lm", ["rotations=6", "engine.dtype=float32", "name=big", "engine.model=hf:a/b", "labels=words"])
    assert isinstance(judge, CausalLM)
    assert (judge.rotations, judge.engine.dtype, judge.name, judge.engine.model, judge.labels) == (6, "float32", "big", "hf:a/b", "words")


def test_a_file_is_one_judge_and_keys_win_over_it(tmp_path: Path) -> None:
    path = tmp_path / "judge.yaml"
    path.write_text("type: causal-lm\nname: mine\nengine: {model: models/big, dtype: float32}\n", encoding="utf-8")
    judge = judge_config(str(path), ["rotations=1", "engine.dtype=float16"])
    assert isinstance(judge, CausalLM)
    assert judge.engine.model == str(tmp_path / "models" / "big")  # from the file's folder
    assert (judge.name, judge.rotations, judge.engine.dtype) == ("mine", 1, "float16")


def test_weights_is_short_for_a_key() -> None:
    assert judge_config("cross-encoder", None, "folder") == CrossEncoder(weights="folder")


@pytest.mark.parametrize(
    ("judge", "settings", "expected"),
    [
        ("causl-lm", [], "did you mean `causal-lm`"),
        ("oracle", [], "'oracle'"),
        ("causal-lm", ["rotation=3"], "did you mean `rotations`"),
        ("causal-lm", ["engine.modle=x"], "did you mean `model`"),
        ("causal-lm", ["rotations=2"], "rotations"),
        ("causal-lm", ["rotations"], "not KEY=VALUE"),
        ("causal-lm", ["=3"], "not KEY=VALUE"),
        ("causal-lm", ["name=[1"], "not a YAML value"),
        ("causal-lm", ["engine.type=vlm"], "did you mean `vllm`"),
        ("nowhere.yaml", [], "no such judge file"),
    ],
)
def test_faults_are_named(judge: str, settings: list[str], expected: str) -> None:
    with pytest.raises(UserError) as caught:
        judge_config(judge, settings)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a", "not a judge"),
        ("", "not a judge"),
        ("a: [", "not valid YAML"),
        ("name: x", "missing key `type`"),
        ("type: causal-lm\nnam: x", "did you mean `name`"),
    ],
)
def test_faults_in_a_file_are_named_with_it(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "judge.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        judge_config(str(path))
    assert expected in str(caught.value) and str(path) in str(caught.value)


def test_what_is_written_can_be_read_back() -> None:
    for judge in (CrossEncoder(), CausalLM(rotations=6, name="x")):
        assert JUDGE.validate_python(judge.model_dump(mode="json", exclude_defaults=True)) == judge
        assert JUDGE.validate_json(judge.model_dump_json()) == judge


def test_identity_of_a_causal_lm_is_content_and_prompt(tmp_path: Path) -> None:
    own = judge_identity(CausalLM())
    assert judge_identity(CausalLM(name="other")) == own
    for other in (CausalLM(rotations=1), CausalLM(labels="words"), CausalLM(max_answer=300), CausalLM(engine={"dtype": "float32"})):  # type: ignore[arg-type]
        assert judge_identity(other) != own


def test_every_key_is_documented() -> None:
    for kind in (CrossEncoder, CausalLM):
        assert [name for name, field in kind.model_fields.items() if not field.description] == []


def test_an_engine_is_named_as_a_judge_is(tmp_path: Path) -> None:
    path = tmp_path / "writer.yaml"
    path.write_text("type: transformers\nmodel: models/big\n", encoding="utf-8")
    named = engine_config(str(path), ["dtype=float32"], "--writer")
    assert named == TransformersEngineConfig(model=str(tmp_path / "models" / "big"), dtype="float32")
    assert engine_config("transformers", ["dtype=float16"], "--rewriter") == TransformersEngineConfig(dtype="float16")
    assert engine_config("embedded", None, "--rewriter") is engine_config("starter", None, "--writer", "starter") is None


@pytest.mark.parametrize(
    ("engine", "settings", "expected"),
    [
        ("transformer", [], "did you mean `transformers`"),
        ("openai", [], "missing key `openai.model`"),
        ("transformers", ["modle=x"], "did you mean `model`"),
        ("transformers", ["modle"], "--writer-set: not KEY=VALUE"),
        ("starter", ["model=x"], "has no settings"),
        ("nowhere.yaml", [], "no such engine file"),
    ],
)
def test_faults_of_an_engine_are_named_too(engine: str, settings: list[str], expected: str) -> None:
    with pytest.raises(UserError) as caught:
        engine_config(engine, settings, "--writer", "starter")
    assert expected in str(caught.value)


def test_a_file_needs_no_ending_when_it_is_there(tmp_path: Path) -> None:
    path = tmp_path / "engine"
    path.write_text("{type: transformers, dtype: float32}", encoding="utf-8")
    assert engine_config(str(path), None, "--filter") == TransformersEngineConfig(dtype="float32")
