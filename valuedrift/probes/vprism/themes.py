"""Topics with words to know them by: the packaged value themes, or those of a user's file."""

from __future__ import annotations

import functools
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from valuedrift.errors import DataError, UserError
from valuedrift.yaml_files import parse_yaml, read_yaml


class Theme(BaseModel):
    """A topic before any prompt is assigned to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="How the topic is called in every table, e.g. `death penalty`.")
    description: str = Field(default="", description="What belongs to it, in a sentence or in words.")
    examples: tuple[str, ...] = Field(default=(), description="A few questions of the topic.")
    proposition: str | None = Field(
        default=None, description="What one may support or oppose; needed for polarity. Polarity +1: to say yes supports it."
    )

    pro: tuple[str, ...] = Field(
        default=(), description="Words for what the proposition is for, e.g. `abortion`; by these polarity is told."
    )
    anti: tuple[str, ...] = Field(default=(), description="Words for what stands against it, e.g. `pro-life movement`.")

    @model_validator(mode="after")
    def _has_words(self) -> Theme:
        if not self.description.strip() and not self.examples:
            raise ValueError("needs a description or examples")
        return self

    @property
    def texts(self) -> list[str]:
        """What the theme is known by: its name with the description, and its examples."""
        return [f"{self.name}. {self.description}".strip(), *self.examples]


@functools.cache
def value_themes() -> tuple[Theme, ...]:
    """The packaged themes: what questions of right and wrong are mostly about."""
    return _packaged("themes.yaml")


@functools.cache
def probe_topics() -> tuple[Theme, ...]:
    """The topics of a build without a topic file: the packaged themes, near ones put together."""
    return _packaged("topics.yaml")


def _packaged(name: str) -> tuple[Theme, ...]:
    text = (files("valuedrift") / "data/probes" / name).read_text(encoding="utf-8")
    themes: tuple[Theme, ...] = parse_yaml(text, name).valid(tuple[Theme, ...])
    return themes


def read_topic_file(path: Path) -> tuple[Theme, ...]:
    """The topics of a user's file: a YAML list of name with description, examples or both, and proposition where there is one.

    Raises:
        UserError: There is no such file.
        DataError: It is not such a list; says which entry and what is wrong with it.
    """
    try:
        written = read_yaml(path, error=DataError)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UserError("no such topic file", where=str(path)) from error
    read = written.content
    if not isinstance(read, list) or not read:
        raise DataError("holds no list of topics", where=str(path), fix="- name: death penalty\n  examples: [...]")
    themes: tuple[Theme, ...] = written.valid(tuple[Theme, ...])
    names = [theme.name for theme in themes]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise DataError(f"topic {doubled!r} is there twice", where=str(path))
    return themes
