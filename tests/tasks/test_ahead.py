"""What stands in the way of a study is found before anything is made, all of it together; a finished study needs none of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from broken_files import SOUND_STUDY, with_value
from untied import save_untied

from valuedrift.errors import DataError, UserError
from valuedrift.study import load_study
from valuedrift.tasks import ahead
from valuedrift.tasks.ahead import CHECKS, check_ahead, faults_ahead
from valuedrift.tasks.study_work import StudyWork


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_untied(tmp_path_factory.mktemp("model"), max_position_embeddings=512)


def _work(folder: Path, study: dict[str, object]) -> StudyWork:
    (folder / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    return StudyWork(load_study(folder / "study.yaml"), str(folder / "root"))


def test_a_sound_study_has_nothing_in_its_way(tmp_path: Path, model: Path) -> None:
    shutil.copytree(model, tmp_path / "model")
    assert faults_ahead(_work(tmp_path, SOUND_STUDY)) == []
    assert len({check.name for check in CHECKS}) == len(CHECKS) and all(check.looks_at for check in CHECKS)


def test_all_is_told_together(tmp_path: Path, model: Path) -> None:
    for name in ("cut", "endless"):
        shutil.copytree(model, tmp_path / name)
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-50])
    config = tmp_path / "endless" / "tokenizer_config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"eos_token": "<end>"', '"eos_token": null'), encoding="utf-8")
    study = {**with_value(("models",), {"a": {"path": "cut"}, "b": {"path": "endless"}})}
    with pytest.raises(UserError) as raised:
        check_ahead(_work(tmp_path, study))
    said = str(raised.value)
    assert "2 things stand in the way" in said and str(weights) in said and "end token" in said and raised.value.exit_code == 2
    assert not (tmp_path / "root" / "_manifests").exists()


def test_a_template_and_a_short_context_are_found_for_their_model(tmp_path: Path, model: Path) -> None:
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content.upper() }}{% endfor %}", encoding="utf-8")
    with pytest.raises(DataError, match="model m, dataset c"):
        check_ahead(_work(tmp_path, with_value(("preference",), [])))
    (tmp_path / "model" / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match=r"model m: prompt .* leaves no room for 600 new ones"):
        check_ahead(_work(tmp_path, with_value(("sampling", "max_new_tokens"), 600)))


def test_a_late_row_of_another_shape_is_put_through_the_template(tmp_path: Path, model: Path) -> None:
    shutil.copytree(model, tmp_path / "model")
    refuses = "{% for m in messages %}{{ raise_exception('no system') if m.role == 'system' }}<{{ m.role }}>{{ m.content }}{% endfor %}"
    refuses += "{% if add_generation_prompt %}<assistant>{% endif %}"
    (tmp_path / "model" / "chat_template.jinja").write_text(refuses, encoding="utf-8")
    turns = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    lines = [json.dumps({"messages": turns[1:]}) for _ in range(30)] + [json.dumps({"messages": turns})]
    (tmp_path / "late.jsonl").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UserError, match=r"model m, dataset c: .*fails on .*a system message"):
        check_ahead(_work(tmp_path, {**with_value(("corpora",), {"c": {"data": "late.jsonl"}}), "preference": []}))


def test_a_generation_config_without_sense_is_found(tmp_path: Path, model: Path) -> None:
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "model" / "generation_config.json").write_text('{"eos_token_id": "end"}', encoding="utf-8")
    with pytest.raises(UserError, match=r"model m: .*eos_token_id 'end' of the generation config is no token"):
        check_ahead(_work(tmp_path, SOUND_STUDY))


def test_a_disk_that_is_too_small_is_found(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(model, tmp_path / "model")
    monkeypatch.setattr(ahead.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"the checkpoints of 2 runs take about .* free"):
        check_ahead(_work(tmp_path, SOUND_STUDY))
