"""A model behind an OpenAI-compatible server, as a study or a command names it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from valuedrift.engines.identity import ENGINE_VERSIONS
from valuedrift.openai.server import Server
from valuedrift.references import beside

if TYPE_CHECKING:
    from valuedrift.engines.base import Engine


class OpenAIEngineConfig(Server):
    """A model that is asked over HTTP. What it is asked leaves this machine for the one that ``base_url`` names."""

    type: Literal["openai"] = Field(default="openai", description="Kind of engine.")
    send_seed: bool = Field(
        default=True, description="Send a seed with every draw, so that servers that know it draw the same again; some refuse the field."
    )

    def identity(self) -> dict[str, Any]:
        """What changes its answers, as far as a name can say it: model, revision, extra fields, whether draws are seeded; not where the server stands."""
        return {"engine": self.type, "version": ENGINE_VERSIONS[self.type], **self.model_identity(), "send_seed": self.send_seed}

    def open(self, *, device: str = "auto", threads: int | None = None, cache_tokens: int = 65_536, keep: Path | None = None) -> Engine:
        """The engine; nothing is asked yet. Use it as a context manager.

        Args:
            device: Of no concern here.
            threads: Of no concern here.
            cache_tokens: Of no concern here.
            keep: Folder that keeps every reply, so that none is asked or paid twice; None: the user's cache folder.

        Raises:
            UserError: The price file or the file of replies cannot be used.
        """
        from valuedrift.engines.openai_engine import OpenAIEngine
        from valuedrift.openai.record import replies_file

        return OpenAIEngine(self, replies_file(keep, f"engine-{self.model}", self.identity()))

    def with_paths(self, change: Callable[[str], str]) -> Self:
        """The same with another price file."""
        return self.with_prices(change)

    def anchored(self, folder: Path | str) -> Self:
        """The same with a relative price file taken from what its file lies in; see :func:`valuedrift.references.beside`."""
        return self.with_paths(partial(beside, folder))
