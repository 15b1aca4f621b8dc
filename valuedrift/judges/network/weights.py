"""Stored weights of the judges that are trained here: a folder with ``weights.safetensors`` (adapters and head) and ``judge.json``. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from valuedrift.errors import UserError
from valuedrift.faults import describe
from valuedrift.fingerprint import file_fingerprint, files_fingerprint, fingerprint
from valuedrift.judges import refusals
from valuedrift.judges.calibrated import LEAST_T, MOST_T
from valuedrift.judges.network import windows
from valuedrift.models.resolve import resolve_model
from valuedrift.weights import folder_fingerprint

EMBEDDED = "embedded"
"""The default: studies have it in their identity."""
LATEST = "embedded-2"
"""The cross-encoder's weights that learnt from most."""
WEIGHTS_FILE = "weights.safetensors"
DESCRIPTION_FILE = "judge.json"
METRICS_FILE = "metrics.json"
_BODY_FILES = ("config.json", "model.safetensors", "tokenizer.json")
BESIDE = "body"
"""How a description names a body that lies with the weights, in a folder of this name."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A kind of judge whose weights a command of this program trains."""

    body: str | None
    """Reference of the model that its weights are added to; None where the weights say it."""
    packaged: Mapping[str, str]
    """Folders of its packaged weights in the package's data, by the name of the weights; `embedded` are the default."""
    encoding: int
    """Version of how texts are put before it."""
    encoded: str
    """What that is a version of, in words."""
    train: str
    """The command that makes its weights."""


CROSS_ENCODER = Trained(
    None,
    {EMBEDDED: "judge", LATEST: "judge-2"},
    windows.VERSION,
    "token windows",
    "valuedrift judge train --out FOLDER, or judge distil",
)


class Description(BaseModel):
    """What ``judge.json`` says about the weights beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    body: str = Field(
        description="Reference of the body that the adapters belong to: `embedded:minilm`, `hf:…`, or `body`, the folder of this name beside them."
    )
    body_fingerprint: str = Field(description="Content hash of the body's weights; another body would make nonsense of the adapters.")
    temperature: float = Field(
        ge=LEAST_T, le=MOST_T, description="Divides the logits; fitted on held-out questions, so that probabilities mean what they say."
    )
    encoding: int = Field(description="Version of how texts are put before the network (token windows) that the weights were trained for.")
    seed: int = Field(description="Seed of the training.")
    recipe: dict[str, float] = Field(description="How it was trained: rank, rates, epochs.")
    data_fingerprint: str = Field(description="Content hash of the text it was trained on.")

    @property
    def knows_english_alone(self) -> bool:
        """Whether its body is an embedded one; what others know, nobody can say here."""
        return self.body.startswith("embedded:")


def weights_folder(weights: str, kind: Trained = CROSS_ENCODER) -> Path:
    """The folder of some weights.

    Args:
        weights: Name of packaged ones, or a folder.
        kind: Whose they are.

    Raises:
        UserError: The folder has no weights, or is an address in a bucket.
    """
    if "://" in weights:
        raise UserError("weights are read from a folder on this machine", where=weights, fix="copy the folder here and give its path")
    folder = _packaged(kind.packaged[weights]) if weights in kind.packaged else Path(weights)
    if not weights or not folder.exists():
        near = get_close_matches(Path(weights).name, kind.packaged, n=1)
        fix = f"did you mean {near[0]!r}?" if near else f"{kind.train}; packaged ones are {', '.join(kind.packaged)}"
        raise UserError(f"no judge weights: {weights!r} is no folder, and no packaged ones are called so", where="weights", fix=fix)
    missing = [name for name in (WEIGHTS_FILE, DESCRIPTION_FILE) if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"no judge weights: {' and '.join(missing)} missing",
            where=str(folder),
            fix=f"make them with: {kind.train}",
        )
    return folder


def _packaged(folder: str) -> Path:
    return Path(str(files("valuedrift").joinpath("data", folder)))


def read_description(folder: Path, kind: Trained = CROSS_ENCODER) -> Description:
    """What the weights in a folder are.

    Args:
        folder: Where they lie.
        kind: Whose they must be.

    Raises:
        UserError: ``judge.json`` is not valid, or of another kind of judge, or was written for another version of the token windows.
    """
    path = folder / DESCRIPTION_FILE
    try:
        description = Description.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UserError(
            f"not a judge's description: {describe(error, Description)}", where=str(path), fix="train the judge again"
        ) from error
    if kind.body not in (None, description.body):
        raise UserError(
            f"weights of another kind of judge: they belong to {description.body}, not to {kind.body}",
            where=str(path),
            fix=f"give weights that were made with: {kind.train}",
        )
    if description.encoding != kind.encoding:
        raise UserError(
            f"trained for version {description.encoding} of the {kind.encoded}, this program has {kind.encoding}",
            where=str(path),
            fix=f"train the judge again: {kind.train}",
        )
    return description


def body_fingerprint(folder: Path) -> str:
    """Content hash of what the judge reads of the body: three files; where they are others (shards, an older tokenizer), of all that a loader reads."""
    if all((folder / name).is_file() for name in _BODY_FILES):
        return files_fingerprint(folder, _BODY_FILES)
    return folder_fingerprint(folder)


def write_description(folder: Path, description: Description) -> None:
    """Write what the weights in a folder are."""
    (folder / DESCRIPTION_FILE).write_text(description.model_dump_json(indent=1) + "\n", encoding="utf-8")


def body_folder(folder: Path, description: Description) -> Path:
    """Where the body of the weights in a folder lies.

    Raises:
        UserError: It is not there.
    """
    return resolve_model(str(folder / BESIDE) if description.body == BESIDE else description.body)


def weights_identity(weights: str, kind: Trained = CROSS_ENCODER) -> dict[str, Any]:
    """What changes the answers of a judge with these weights.

    Args:
        weights: Name of packaged ones, or a folder.
        kind: Whose they are.

    Returns:
        Content hash of trained weights, body and temperature; versions of the token windows and of the refusal rule.

    Raises:
        UserError: The weights are missing or invalid.
    """
    folder = weights_folder(weights, kind)
    description = read_description(folder, kind)
    content = [file_fingerprint(folder / WEIGHTS_FILE), description.body_fingerprint, description.temperature]
    return {"weights": fingerprint(content), "encoding": kind.encoding, "refusals": refusals.VERSION}


def shipped_metrics(kind: Trained = CROSS_ENCODER) -> list[dict[str, Any]]:
    """Measured quality of a shipped judge, one object for each set of labelled answers that it was measured on; see valuedrift/data/judge/README.md.

    Returns:
        Objects as :meth:`valuedrift.judges.quality.validation.Validation.flat` makes them.
    """
    return read_metrics(_packaged(kind.packaged[EMBEDDED]))


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Figures that were recorded beside some weights; empty where none were."""
    path = folder / METRICS_FILE
    return list(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else []


def record_metrics(folder: Path, figures: dict[str, Any]) -> None:
    """Store figures beside the weights they were measured on, in place of older ones for the same data."""
    kept = [recorded for recorded in read_metrics(folder) if recorded["data"] != figures["data"]]
    (folder / METRICS_FILE).write_text(json.dumps([*kept, figures], indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
