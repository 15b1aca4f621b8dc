"""From a reference in a study file to a model folder on this machine."""

from __future__ import annotations

import difflib
from pathlib import Path

from valuedrift.errors import UserError
from valuedrift.models.embedded import EMBEDDED, embedded_folder
from valuedrift.weights import check_model_folder

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
