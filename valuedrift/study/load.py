"""Reading a study file, with errors that name the file, the key and the nearest valid one."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from valuedrift.errors import UserError
from valuedrift.study.spec import Study


def load_study(path: Path) -> Study:
    """Read and check a study file.

    Args:
        path: A YAML file. Relative data paths in it are taken from the folder it lies in.

    Raises:
        UserError: The file is missing, empty, not UTF-8, not YAML, or not a study; says which key and what would be right.
    """
    text = _read(path)
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise UserError(f"not valid YAML: {getattr(error, 'problem', error)}", where=where) from error
    if not isinstance(content, dict):
        raise UserError("not a study: expected keys and values", where=str(path), fix="begin with deployments/studies/demo.yaml")
    try:
        study = Study.model_validate(content, context={"folder": path.parent})
    except ValidationError as error:
        raise UserError(_describe(error), where=str(path)) from error
    return _anchor(study, path.parent)


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        near = get_close_matches(path.name, [other.name for other in path.parent.glob("*.yaml")], n=1) if path.parent.is_dir() else []
        fix = f"did you mean {path.parent / near[0]}?" if near else "give the path of a study file, e.g. deployments/studies/demo.yaml"
        raise UserError("no such study file", where=str(path), fix=fix) from error
    except IsADirectoryError as error:
        raise UserError("a folder, not a study file", where=str(path), fix="give the .yaml file itself") from error
    except UnicodeDecodeError as error:
        raise UserError(f"not UTF-8 text (byte {error.start})", where=str(path), fix="save the study file as UTF-8") from error
    if not text.strip():
        raise UserError("the study file is empty", where=str(path), fix="begin with deployments/studies/demo.yaml")
    return text


def _describe(error: ValidationError) -> str:
    """All faults of a study, one a line: key, what is wrong, nearest valid key."""
    lines = []
    for fault in error.errors(include_url=False):
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            lines.append(f"unknown key `{key}`{_nearest(fault['loc'])}")
        elif fault["type"] == "missing":
            lines.append(f"missing key `{key}`")
        else:
            message = fault["msg"].removeprefix("Value error, ")
            lines.append(f"`{key}`: {message}" if key else message)
    return lines[0] if len(lines) == 1 else "\n  - ".join([f"{len(lines)} faults:", *lines])


def _nearest(location: tuple[int | str, ...]) -> str:
    """A hint with the nearest valid key of the model in which an unknown key stands."""
    fields = _fields_at(location[:-1])
    if not fields:
        return ""
    near = get_close_matches(str(location[-1]), fields, n=1)
    return f"; did you mean `{near[0]}`?" if near else f"; valid keys here: {', '.join(fields)}"


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the model that a validation location leads to; empty where it leads to no model."""
    found: list[Any] = [Study]
    for part in location:
        following: list[Any] = []
        for annotation in found:
            for model in _models_in(annotation):
                if isinstance(part, str) and part in model.model_fields:
                    following.append(model.model_fields[part].annotation)
                elif isinstance(part, str) and _tag_of(model) == part:
                    following.append(model)
            if not _is_model(annotation):
                following.append(annotation)
        found = following or found
    last = [model for annotation in found[:1] for model in _models_in(annotation)]
    if len(last) > 1 and location:
        last = [model for model in last if _tag_of(model) == location[-1]] or last
    return list(dict.fromkeys(name for model in last for name in model.model_fields))


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """All models that an annotation may hold: through unions, tuples, dicts and Annotated."""
    if _is_model(annotation):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in _models_in(argument)]


def _tag_of(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("type")
    return field.default if field is not None else None


def _anchor(study: Study, folder: Path) -> Study:
    """The study with relative paths of data, probes and models taken from the study file's folder."""

    def data(sets: dict[str, Any]) -> dict[str, Any]:
        return {name: one.anchored(folder) for name, one in sets.items()}

    probes = study.probes
    if probes.set != "starter" and "://" not in probes.set:
        probes = probes.model_copy(update={"set": str((folder / probes.set).resolve())})
    models = {
        name: model if ":" in model.path else model.model_copy(update={"path": str((folder / model.path).resolve())})
        for name, model in study.models.items()
    }
    return study.model_copy(
        update={"corpora": data(study.corpora), "preferences": data(study.preferences), "probes": probes, "models": models}
    )
