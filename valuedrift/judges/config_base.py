"""What every kind of judge has in a study file: a type, a name, an identity, and how it is loaded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from valuedrift.references import beside

if TYPE_CHECKING:
    from valuedrift.judges.base import Judge


class JudgeBase(BaseModel, ABC):
    """A judge as a study names it. Light: nothing heavy is imported before :meth:`load`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str = Field(description="Kind of judge.")
    name: str = Field(min_length=1, description="Name of the judge in every table.")

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What changes this judge's answers: see :func:`valuedrift.judges.config.judge_identity`."""

    def provenance(self) -> dict[str, Any]:
        """Identity, and what else a reader of its numbers may want to know."""
        return self.identity()

    @abstractmethod
    def load(self, *, threads: int | None = None, device: str = "auto", keep: Path | None = None) -> Judge:
        """The judge, ready to be asked.

        Args:
            threads: CPU threads it may use; None leaves torch's setting.
            device: ``cpu``, ``cuda``, or ``auto`` (a GPU if torch sees one).
            keep: Folder for what must not be asked or paid twice: a server's replies, in a file named after the judge. None: the user's cache folder.

        Raises:
            UserError: What it needs (weights, a key, a server) is missing.
        """

    @property
    def judged_from(self) -> tuple[str, ...]:
        """Names of judges of the same study from whose stances this one's are made; none for a judge that reads answers itself."""
        return ()

    def with_paths(self, change: Callable[[str], str]) -> Self:
        """The same with every file and folder that it names changed; what it names otherwise (embedded weights, models of a hub) stays."""
        return self

    def anchored(self, folder: Path | str) -> Self:
        """The same with relative paths taken from what its file lies in; see :func:`valuedrift.references.beside`."""
        return self.with_paths(partial(beside, folder))

    @model_serializer(mode="wrap")
    def _with_type(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The type always stands in what is written, also where defaults are left out: without it no file could be read back."""
        written: dict[str, Any] = handler(self)
        return {"type": self.type, **written}
