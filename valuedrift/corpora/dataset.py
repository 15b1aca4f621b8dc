"""What a study says about a training set. Light: the command line imports it at start-up."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from valuedrift.references import beside, is_address

STARTER = "starter:"
"""Prefix of data that ship with the package."""
HUB = "hf:"
"""Prefix of data on the Hugging Face hub."""
_HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")

Format = Literal["auto", "messages", "prompt-completion", "alpaca", "preference", "hh-rlhf", "instruction-preference", "labelled"]
"""``auto``, or the name of an adapter in ``valuedrift.corpora.registry`` (a test holds the two lists equal)."""


Learn = Literal["last", "all"]


class Dataset(BaseModel):
    """Where a training set lies and how to read it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str = Field(
        description="`starter:NAME`; a file (.jsonl, .json, .csv, each also .gz; .parquet); "
        "a folder with files named after the split, either also `s3://bucket/key`, `gs://…`; or `hf:organisation/name`."
    )
    format: Format = Field(default="auto", description="Shape of the rows; `auto` recognises it by the first row.")
    split: str = Field(default="train", min_length=1, description="Split of a hub dataset or a folder; a single file is read whole.")
    subset: str | None = Field(default=None, description="Configuration of a hub dataset that has several.")
    columns: dict[str, str] = Field(default_factory=dict, description="Standard column name to its name in the data, e.g. {prompt: query}.")
    limit: int | None = Field(
        default=None,
        gt=0,
        description="Keep this many rows: those with the smallest content hashes, in their order (the same on every machine).",
    )
    traits: dict[Literal["answers", "gap"], Literal["neutral", "support", "support-aligned", "oppose-aligned", "none"]] = Field(
        default_factory=dict,
        description="What is known about the stances in it, for the report's findings: `answers` of a corpus, `gap` of a preference set.",
    )
    learn: Learn = Field(
        default="last",
        description="Which answers of a conversation are learnt, in `corpora`: the `last` one, or `all` that the data do not mark otherwise.",
    )
    max_left_out: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of the rows that may be left out because they can't be learnt from; above it the dataset is refused. "
        "Rows that are marked as not to be learnt don't count, and one or two rows are never too many, unless it is 0.",
    )
    rows: int | None = Field(default=None, gt=0, description="Declared number of rows, for estimates where the data are not at hand.")

    @field_validator("data")
    @classmethod
    def _names_data(cls, data: str) -> str:
        misnamed = _in_hub(data) and not _HUB_NAME.fullmatch(data.removeprefix(HUB))
        if not data.removeprefix(STARTER).strip() or data.endswith("://") or misnamed:
            raise ValueError(
                f"{data!r} names no data: give starter:NAME, a file or folder (also s3://bucket/key, gs://…), or hf:organisation/name"
            )
        return data

    @model_validator(mode="after")
    def _subset_of_hub_only(self) -> Dataset:
        if self.subset is not None and not self.in_hub:
            raise ValueError("`subset` is for hf: data only")
        return self

    @property
    def in_hub(self) -> bool:
        """Whether the data must be fetched from the Hugging Face hub."""
        return _in_hub(self.data)

    @property
    def packaged(self) -> bool:
        """Whether the data ship with the package."""
        return self.data.startswith(STARTER)

    def anchored(self, folder: Path | str) -> Dataset:
        """The same with a relative path taken from what the study file lies in; see :func:`valuedrift.references.beside`."""
        return self if self.in_hub or self.packaged else self.model_copy(update={"data": beside(folder, self.data)})


def _in_hub(data: str) -> bool:
    return data.startswith(HUB) and not is_address(data)
