"""What a study says about a training set. Light: the command line imports it at start-up."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from valuedrift.corpora.splits import split_parts
from valuedrift.references import beside, is_address
from valuedrift.words import listed

STARTER = "starter:"
"""Prefix of data that ship with the package."""
HUB = "hf:"
"""Prefix of data on the Hugging Face hub."""
_SUM_TOLERANCE = 1e-6
_HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")

Format = Literal["auto", "messages", "prompt-completion", "alpaca", "preference", "hh-rlhf", "instruction-preference", "labelled"]
"""``auto``, or the name of an adapter in ``valuedrift.corpora.registry`` (a test holds the two lists equal)."""


Learn = Literal["last", "all"]


class _Source(BaseModel):
    """Where rows lie and how to read them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str | tuple[str, ...] | None = Field(
        default=None,
        description="`starter:NAME`; a file (.jsonl, .json, .csv, .tsv, each also .gz; .parquet); "
        "a folder with files named after the split, or one that `save_to_disk` wrote; all these also `s3://bucket/key`, `gs://…`; `hf:organisation/name`; "
        "a pattern like `rows/*.jsonl`; or a list of these, read one after the other.",
    )
    format: Format = Field(default="auto", description="Shape of the rows; `auto` recognises it by the first row.")
    split: str = Field(
        default="train",
        min_length=1,
        description="Split of a hub dataset or a folder; a single file has one, of any name. Also a part of it, as `train[:80%]`, `train[100:200]`, "
        "`train[-20%:]`, several joined by `+`: of the rows as they lie.",
    )
    subset: str | None = Field(default=None, description="Configuration of a hub dataset that has several.")
    columns: dict[str, str] = Field(default_factory=dict, description="Standard column name to its name in the data, e.g. {prompt: query}.")

    @field_validator("data", mode="before")
    @classmethod
    def _names_data(cls, data: Any) -> Any:
        places = data if isinstance(data, list | tuple) else [data]
        for place in places:
            if not isinstance(place, str) or not _names_place(place):
                raise ValueError(
                    f"{place!r} names no data: give starter:NAME, a file or folder (also s3://bucket/key, gs://…), or hf:organisation/name"
                )
        if not places:
            raise ValueError("an empty list names no data")
        if twice := next((place for place in places if places.count(place) > 1), None):
            raise ValueError(f"{twice!r} is given twice")
        return data

    @field_validator("split")
    @classmethod
    def _names_split(cls, split: str) -> str:
        split_parts(split)
        return split

    @model_validator(mode="after")
    def _subset_of_hub_only(self) -> Self:
        if self.subset is not None and not self.in_hub:
            raise ValueError("`subset` is for hf: data only")
        return self

    @property
    def places(self) -> tuple[str, ...]:
        """Where its rows lie, one after the other; nowhere by itself if it is a mixture."""
        return (self.data,) if isinstance(self.data, str) else self.data or ()

    @property
    def title(self) -> str:
        """What it is called in messages."""
        return listed(self.places, 3)

    @property
    def in_hub(self) -> bool:
        """Whether data must be fetched from the Hugging Face hub."""
        return any(map(is_in_hub, self.places))

    @property
    def packaged(self) -> bool:
        """Whether the data ship with the package."""
        return bool(self.places) and all(place.startswith(STARTER) for place in self.places)

    @property
    def gap_by_construction(self) -> float | None:
        """Value gap that its pairs were written to have, of a packaged preference set; None where nobody knows."""
        from valuedrift.starter import gap_by_construction

        return gap_by_construction(self.places[0].removeprefix(STARTER)) if self.packaged and len(self.places) == 1 else None

    def with_places(self, change: Callable[[str], str | Sequence[str]]) -> Self:
        """The same with its files, folders and addresses changed; packaged data and those of a hub have names that are no paths.

        Args:
            change: From a place to another one, or to several.
        """
        if self.data is None:
            return self
        places: list[str] = []
        for place in self.places:
            other = place if place.startswith(STARTER) or is_in_hub(place) else change(place)
            places += [other] if isinstance(other, str) else other
        data = places[0] if isinstance(self.data, str) and len(places) == 1 else tuple(places)
        return self if data == self.data else self.model_copy(update={"data": data})

    def anchored(self, folder: Path | str) -> Self:
        """The same with relative paths taken from what the study file lies in; see :func:`valuedrift.references.beside`."""
        return self.with_places(partial(beside, folder))


class Part(_Source):
    """A part of a mixture."""

    weight: float = Field(gt=0, le=1, description="Share of the mixture's rows that are of this part; the weights of all parts sum to 1.")


class Dataset(_Source):
    """A training set: where its rows lie, how to read them, and which of them are learnt."""

    mixture: tuple[Part, ...] = Field(
        default=(),
        description="In place of `data`: parts, each with the keys above and a `weight`. As many rows as the part that ends first allows, or `limit`; of "
        "each part those with the smallest content hashes.",
    )
    mixture_seed: int = Field(default=0, ge=0, description="Seed of which rows of its parts a mixture takes.")
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

    @model_validator(mode="after")
    def _data_or_mixture(self) -> Self:
        if not self.mixture:
            if self.data is None:
                raise ValueError("missing key `data` (or `mixture`)")
            return self
        given = [name for name in _Source.model_fields if name in self.model_fields_set]
        if given:
            raise ValueError(f"`{given[0]}` stands in the parts of a mixture, not beside it")
        if any(part.data is None for part in self.mixture):
            raise ValueError("missing key `data` in a part of the mixture")
        if len(self.mixture) < 2:
            raise ValueError("a mixture has two parts or more")
        total = sum(part.weight for part in self.mixture)
        if abs(total - 1) > _SUM_TOLERANCE:
            raise ValueError(f"the weights of a mixture sum to 1, these to {total:g}")
        return self

    @property
    def parts(self) -> tuple[Dataset, ...]:
        """The parts of a mixture as datasets of their own, none of anything else."""
        own = self.model_dump(include={"learn", "max_left_out"})
        return tuple(Dataset(**own, **part.model_dump(exclude_unset=True, exclude={"weight"})) for part in self.mixture)

    @property
    def title(self) -> str:
        """See :attr:`_Source.title`."""
        return f"the mixture of {listed([part.title for part in self.mixture], 3)}" if self.mixture else super().title

    def with_places(self, change: Callable[[str], str | Sequence[str]]) -> Self:
        """See :meth:`_Source.with_places`."""
        if not self.mixture:
            return super().with_places(change)
        return self.model_copy(update={"mixture": tuple(part.with_places(change) for part in self.mixture)})


def is_in_hub(place: str) -> bool:
    """Whether a place is a name on the Hugging Face hub."""
    return place.startswith(HUB) and not is_address(place)


def _names_place(place: str) -> bool:
    misnamed = is_in_hub(place) and not _HUB_NAME.fullmatch(place.removeprefix(HUB))
    return bool(place.removeprefix(STARTER).strip()) and not place.endswith("://") and not misnamed
