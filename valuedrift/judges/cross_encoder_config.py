"""The embedded judge in a study file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from valuedrift.judges.calibrated_config import Calibratable

if TYPE_CHECKING:
    from valuedrift.judges.base import Judge


class CrossEncoder(Calibratable):
    """The embedded judge: MiniLM reads prompt and response, and small trained weights that ship with the package compare them. English; no network."""

    type: Literal["cross-encoder"] = Field(default="cross-encoder", description="Kind of judge.")
    name: str = Field(default="cross-encoder", min_length=1, description="Name of the judge in every table.")
    weights: str = Field(
        default="embedded", description="`embedded` (shipped with the package) or a folder written by `valuedrift judge train`."
    )

    def own_identity(self) -> dict[str, Any]:
        """Content hashes of weights and body, versions of token windows and refusal rule."""
        from valuedrift.judges.weights import weights_identity

        return {"type": self.type, **weights_identity(self.weights)}

    def load_uncalibrated(self, *, threads: int | None = None, device: str = "auto", keep: Path | None = None) -> Judge:
        """The judge with its weights in memory; see :meth:`JudgeBase.load`."""
        from valuedrift.judges.cross_encoder import load_cross_encoder

        return load_cross_encoder(self, threads=threads, device=device)

    def with_paths(self, change: Callable[[str], str]) -> Self:
        """The same with another weights folder; see :meth:`JudgeBase.with_paths`."""
        judge = super().with_paths(change)
        return judge if self.weights == "embedded" else judge.model_copy(update={"weights": change(self.weights)})
