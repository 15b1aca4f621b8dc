"""From a reference in a study file to a model folder on this machine."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Any

from valuedrift.errors import DataError, UserError
from valuedrift.models.embedded import EMBEDDED, embedded_folder, embedded_name
from valuedrift.weight_files import ADAPTER, ADAPTER_CONFIG
from valuedrift.weights import Weights, check_model_folder, folder_fingerprint

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_PATTERNS = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "*.spm", "*.tiktoken")
"""What is fetched from the hub: weights as safetensors, configs, tokenizers; never pickles or code."""


def resolve_model(reference: str) -> Path:
    """The folder of a model.

    Args:
        reference: ``embedded:NAME`` (see ``valuedrift.models.embedded.EMBEDDED``), ``hf:ORG/NAME`` or ``hf:ORG/NAME@REVISION`` (Hugging
        Face hub, or
            its local cache when offline), or the path of a local folder.

    Returns:
        A folder in Hugging Face layout with config, safetensors and tokenizer.

    Raises:
        UserError: An unknown name, a package that is not installed, a hub that cannot be reached, or a folder that holds no loadable model.
    """
    scheme, separator, rest = reference.partition(":")
    if separator and scheme in _SCHEMES:
        folder = _SCHEMES[scheme](rest)
    elif separator and not Path(reference).exists():
        raise UserError(f"no such kind of model reference: {reference!r}", fix="embedded:NAME, hf:ORG/NAME or a local folder")
    else:
        folder = Path(reference).expanduser()
    check_model_folder(folder)
    return folder


def name_of(folder: Path) -> str | None:
    """The reference under which every machine finds a model folder: ``embedded:NAME`` or ``hf:ORG/NAME@COMMIT``; None where it has none."""
    repository, snapshots, commit = folder.parts[-3:] if len(folder.parts) > 2 else ("", "", "")
    if snapshots == "snapshots" and repository.startswith("models--"):
        return f"hf:{repository.removeprefix('models--').replace('--', '/', 1)}@{commit}"
    return embedded_name(folder)


def is_named(reference: str) -> bool:
    """Whether a reference is a name, and no path."""
    return reference.partition(":")[0] in _SCHEMES


def resolve_weights(reference: str) -> Weights:
    """A model that may be an adapter on another: its base is what its ``adapter_config.json`` names, which may be an adapter again.

    Args:
        reference: As for :func:`resolve_model`, or the path of a PEFT adapter's folder.

    Raises:
        UserError: See :func:`resolve_model`; or an adapter does not say what it lies on, or that is not there.
    """
    adapters: list[Path] = []
    while is_adapter(folder := Path(reference).expanduser()):
        if folder in adapters:
            raise UserError(
                "an adapter that names itself as its base", where=str(folder / ADAPTER_CONFIG), fix="name the model that it was trained on"
            )
        folder_fingerprint(folder)
        adapters.insert(0, folder)
        reference = _base_of(folder)
    return Weights(base=resolve_model(reference), adapters=tuple(adapters))


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no whole model."""
    return (folder / ADAPTER_CONFIG).is_file() and not any(path.name != ADAPTER for path in folder.glob("*.safetensors"))


def _base_of(adapter: Path) -> str:
    """The reference of the model that an adapter lies on."""
    path = adapter / ADAPTER_CONFIG
    config, ours = _said(path), _said(adapter / "checkpoint.json")
    named = config.get("base_model_name_or_path") or ours.get("on")  # in a stack of ours the name of PEFT's is left empty
    if not isinstance(named, str) or not named:
        raise UserError(
            "an adapter that does not say what it lies on",
            where=str(path),
            fix="set base_model_name_or_path to the base: a folder, embedded:NAME, or a name on the hub",
        )
    reference = base_reference(named, config.get("revision"), adapter.parent)
    if reference is not None:
        return reference
    raise UserError(
        f"the adapter's base is not there: {named}", where=str(path), fix="set base_model_name_or_path to where the base lies now"
    )


def base_reference(named: str, revision: object, beside: Path) -> str | None:
    """The reference of what an adapter names as its base.

    Args:
        named: Its ``base_model_name_or_path``.
        revision: Its ``revision``, which tells one of the hub's.
        beside: The folder that a relative path is taken from, where it is none from here.

    Returns:
        A folder that is there, ``embedded:NAME``, or a name on the hub; None where it is none of these.
    """
    for folder in (Path(named).expanduser(), beside / named):
        if folder.is_dir():
            return str(folder)
    if named.partition(":")[0] in _SCHEMES:
        return named
    if _HUB_NAME.fullmatch(named):
        return f"hf:{named}@{revision}" if revision else f"hf:{named}"
    return None


def _said(path: Path) -> dict[str, Any]:
    """What a JSON file of an adapter says; nothing where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"not readable as JSON: {error}", where=str(path)) from error
    if not isinstance(content, dict):
        raise DataError("not a JSON object", where=str(path))
    return content


def _embedded(name: str) -> Path:
    if name not in EMBEDDED:
        near = difflib.get_close_matches(name, EMBEDDED, n=3, cutoff=0.3) or list(EMBEDDED)
        raise UserError(f"no embedded model {name!r}", fix="nearest: " + ", ".join(f"embedded:{each}" for each in near))
    return embedded_folder(EMBEDDED[name])


def _hub(name: str) -> Path:
    """Fetch from the hub, or take from its local cache when offline."""
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=list(_HUB_PATTERNS)))
    except HFValidationError as error:
        raise UserError(f"not a hub repository name: {repository!r}", fix="hf:ORG/NAME or hf:ORG/NAME@REVISION") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, httpx.HTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"model hf:{name} could not be fetched: {reason}",
            fix="check the name, the network and HF_HUB_OFFLINE, or give a local folder or an embedded: model",
        ) from error


_SCHEMES = {"embedded": _embedded, "hf": _hub}
