"""How far a long piece of work has come: what a child tells its parent, and a parent its progress bar."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a job."""

    done: int
    """Units finished, 0 ≤ done ≤ total."""
    total: int
    """Units in all (optimizer steps, prompts, pairs: whatever the job counts)."""
    note: str = ""
    """A few words for the bar: the phase and its loss, say."""
