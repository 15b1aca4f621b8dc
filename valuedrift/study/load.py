"""Reading a study file, with errors that name the file, the key and the nearest valid one."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from valuedrift.corpora.dataset import Dataset
from valuedrift.errors import UserError
from valuedrift.references import beside, names_folder
from valuedrift.study.parts import Probes
from valuedrift.study.spec import Study
from valuedrift.yaml_files import Yaml, read_yaml


def load_study(path: Path, folder: Path | str | None = None) -> Study:
    """Read and check a study file.

    Args:
        path: A YAML file.
        folder: What relative paths in it are taken from, also ``s3://bucket/prefix``; default: the folder it lies in.

    Raises:
        UserError: The file is missing, empty, not UTF-8, not YAML, or not a study; says which key and what would be right.
    """
    written = _read(path)
    if written.content is None:
        raise UserError("the study file is empty", where=str(path), fix="begin with deployments/studies/demo.yaml")
    if not isinstance(written.content, dict):
        raise UserError("not a study: expected keys and values", where=str(path), fix="begin with deployments/studies/demo.yaml")
    return anchored(written.valid(Study), path.parent if folder is None else folder)


def _read(path: Path) -> Yaml:
    try:
        return read_yaml(path)
    except FileNotFoundError as error:
        near = get_close_matches(path.name, [other.name for other in path.parent.glob("*.yaml")], n=1) if path.parent.is_dir() else []
        fix = f"did you mean {path.parent / near[0]}?" if near else "give the path of a study file, e.g. deployments/studies/demo.yaml"
        raise UserError("no such study file", where=str(path), fix=fix) from error
    except IsADirectoryError as error:
        raise UserError("a folder, not a study file", where=str(path), fix="give the .yaml file itself") from error


def anchored(study: Study, folder: Path | str) -> Study:
    """The study with relative paths of data, probes, models and judges taken from what the study file lies in."""

    def data(sets: dict[str, Any]) -> dict[str, Any]:
        return {name: one.anchored(folder) for name, one in sets.items()}

    def phase(one: Any) -> Any:
        return one.model_copy(update={"held_out": one.held_out.anchored(folder)}) if isinstance(one.held_out, Dataset) else one

    def asked(probes: Probes) -> Probes:
        return probes if probes.set == "starter" else probes.model_copy(update={"set": beside(folder, probes.set)})

    probes = asked(study.probes) if isinstance(study.probes, Probes) else tuple(map(asked, study.probes))
    sampling = study.sampling
    if sampling.template_file is not None:
        sampling = sampling.model_copy(update={"chat_template": beside(folder, sampling.template_file)})
    models = {
        name: model.model_copy(update={"path": beside(folder, model.path)}) if names_folder(model.path) else model
        for name, model in study.models.items()
    }
    judges = tuple(judge.anchored(folder) for judge in study.judges)
    engine = study.engine if isinstance(study.engine, str) else study.engine.anchored(folder)
    return study.model_copy(
        update={
            "corpora": data(study.corpora),
            "preferences": data(study.preferences),
            "sft": tuple(map(phase, study.sft)),
            "preference": tuple(map(phase, study.preference)),
            "probes": probes,
            "sampling": sampling,
            "models": models,
            "series": data(study.series),
            "judges": judges,
            "engine": engine,
            "capability": study.capability and study.capability.with_paths(lambda path: beside(folder, path)),
            "runtime": study.runtime.model_copy(update={"trackers": tuple(one.anchored(folder) for one in study.runtime.trackers)}),
        }
    )
