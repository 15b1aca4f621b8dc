"""Which judge a study asks for: a tagged union, light to import, because the planner reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from valuedrift.judges.base import Judge


class CrossEncoder(BaseModel):
    """The embedded judge: MiniLM read over (prompt, response) with small trained weights that ship with the package. English; needs no network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["cross-encoder"] = Field(default="cross-encoder", description="Kind of judge.")
    name: str = Field(default="cross-encoder", min_length=1, description="Name of the judge in every table.")
    weights: str = Field(
        default="embedded", description="`embedded` (shipped with the package) or a folder written by `valuedrift judge train`."
    )

    def identity(self) -> dict[str, Any]:
        """What changes this judge's answers: see :func:`judge_identity`."""
        from valuedrift.judges.weights import weights_identity

        return {"type": self.type, **weights_identity(self.weights)}

    def load(self, *, threads: int | None = None, device: str = "auto") -> Judge:
        """The judge with its weights in memory.

        Args:
            threads: CPU threads it may use; None leaves torch's setting.
            device: ``cpu``, ``cuda``, or ``auto`` (a GPU if torch sees one).

        Raises:
            UserError: The weights or the body they were trained on are missing.
        """
        from valuedrift.judges.cross_encoder import load_cross_encoder

        return load_cross_encoder(self, threads=threads, device=device)


JudgeConfig = CrossEncoder
"""Every kind of judge; a union discriminated by ``type`` as soon as there is a second."""


def judge_identity(config: JudgeConfig) -> dict[str, Any]:
    """What enters a cache key for a judge: content hashes and versions, never its name, paths, device or batch size.

    Cheap (hashes about a megabyte of weights) and imports no torch.

    Args:
        config: The judge.

    Returns:
        JSON-able values.

    Raises:
        UserError: Its weights are missing.
    """
    return config.identity()
