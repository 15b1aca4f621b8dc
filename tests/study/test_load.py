"""A study file's faults are told with file, key and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from valuedrift.errors import UserError
from valuedrift.study import Study, load_study

STUDIES = Path(__file__).resolve().parents[2] / "deployments" / "studies"
MINIMAL = """
study: tiny
models: {m: {path: "embedded:smollm2-135m-instruct"}}
corpora: {neutral: {data: "starter:sft-neutral"}}
preferences: {gap: {data: "starter:preference-support"}}
sft:
  - data: [neutral]
    algorithm: {type: sft, steps: 2}
preference:
  - data: [gap]
    algorithm: {type: dpo, steps: 2}
"""


def study_file(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def message(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_study(path)
    return str(caught.value)


@pytest.mark.parametrize("name", ["demo", "laptop", "paper"])
def test_packaged_studies_are_valid(name: str) -> None:
    assert load_study(STUDIES / f"{name}.yaml").study == name


def test_a_minimal_study_takes_the_papers_defaults(tmp_path: Path) -> None:
    study = load_study(study_file(tmp_path, MINIMAL))
    assert (study.sampling.n, study.sampling.temperature, study.sampling.max_new_tokens) == (5, 0.7, 256)
    assert study.analysis.confidence == 0.95


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("study: tiny", "study: tiny\nsamplng: {n: 3}", ["samplng", "did you mean `sampling`"]),
        ("steps: 2}", "steps: 2, learning_rat: 1}", ["learning_rat", "did you mean `learning_rate`"]),
        ("type: dpo", "type: dpoo", ["dpo"]),
        ("- data: [gap]", "- data: [gapp]", ["gapp", "did you mean 'gap'"]),
        ("type: dpo, steps: 2", "type: dpo, steps: 2, beta: -1", ["beta", "greater than 0"]),
        ("type: dpo, steps: 2", "type: dpo, steps: 2, epochs: 1", ["either steps or epochs"]),
        ("type: dpo", "type: sft", ["belongs under `sft`"]),
        ("study: tiny", "study: Tiny Study", ["lower-case"]),
        ("study: tiny", "study: tiny\nsampling: {n: 0}", ["sampling.n"]),
        ("study: tiny\n", "", ["missing key `study`"]),
    ],
)
def test_faults_are_named(tmp_path: Path, old: str, new: str, expected: list[str]) -> None:
    assert old in MINIMAL
    path = study_file(tmp_path, MINIMAL.replace(old, new))
    told = message(path)
    assert str(path) in told
    for part in expected:
        assert part in told


def test_several_faults_are_told_together(tmp_path: Path) -> None:
    told = message(study_file(tmp_path, MINIMAL.replace("study: tiny", "study: tiny\nsamplng: {}\nanalyis: {}")))
    assert "2 faults" in told and "samplng" in told and "analyis" in told


def test_missing_empty_binary_and_broken_files(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("x: 1", encoding="utf-8")
    assert "did you mean" in message(tmp_path / "stdy.yaml")
    (tmp_path / "empty.yaml").write_text("  \n", encoding="utf-8")
    assert "empty" in message(tmp_path / "empty.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"study: caf\xe9\n")
    assert "UTF-8" in message(tmp_path / "latin.yaml")
    (tmp_path / "broken.yaml").write_text("study: [1,\nx: }", encoding="utf-8")
    assert "line" in message(tmp_path / "broken.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n", encoding="utf-8")
    assert "not a study" in message(tmp_path / "list.yaml")
    assert "folder" in message(tmp_path)


def test_relative_data_are_taken_from_the_studys_folder(tmp_path: Path) -> None:
    study = load_study(study_file(tmp_path, MINIMAL.replace("starter:sft-neutral", "corpora/mine.jsonl")))
    assert study.corpora["neutral"].data == str(tmp_path / "corpora" / "mine.jsonl")


def test_every_field_of_the_study_is_documented() -> None:
    def undocumented(model: type) -> list[str]:
        return [f"{model.__name__}.{name}" for name, field in model.model_fields.items() if not field.description]  # type: ignore[attr-defined]

    from valuedrift.study import Runtime, spec

    models = [Study, Runtime, spec.Probes, spec.Model, spec.SFTPhase, spec.PreferencePhase]
    assert [name for model in models for name in undocumented(model)] == []


JUDGES = """judges:
  - {type: cross-encoder}
  - {type: causal-lm, name: small, rotations: 1}
  - {type: panel, members: [cross-encoder, small]}
"""


def test_a_study_with_several_judges_and_a_panel_of_them(tmp_path: Path) -> None:
    study = load_study(study_file(tmp_path, MINIMAL + JUDGES))
    assert [judge.name for judge in study.judges] == ["cross-encoder", "small", "panel"]
    panel_first = JUDGES.replace("judges:\n", "judges:\n  - {type: panel, name: first, members: [cross-encoder, small]}\n")
    study = load_study(study_file(tmp_path, MINIMAL + panel_first))
    assert [judge.name for judge in study.judges_in_order] == ["cross-encoder", "small", "first", "panel"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: small", "name: cross-encoder", ["two judges named 'cross-encoder'"]),
        ("rotations: 1", "rotation: 1", ["judges.1.causal-lm.rotation", "did you mean `rotations`"]),
        ("type: causal-lm", "type: causal_lm", ["did you mean `causal-lm`"]),
        ("members: [cross-encoder, small]", "members: [cross-encoder, smal]", ["did you mean 'small'"]),
        ("members: [cross-encoder, small]", "members: [cross-encoder, panel]", ["'panel' is not among"]),
        ("members: [cross-encoder, small]", "members: [small]", ["two members or more"]),
        ("members: [cross-encoder, small]", "members: [{type: cross-encoder}, {type: causal-lm}]", ["members are names"]),
        ("{type: cross-encoder}", "{name: x}", ["judges.0.type", "missing"]),
    ],
)
def test_faults_of_judges_are_named(tmp_path: Path, old: str, new: str, expected: list[str]) -> None:
    assert old in JUDGES
    told = message(study_file(tmp_path, MINIMAL + JUDGES.replace(old, new)))
    for part in expected:
        assert part in told
