"""What is asked of an engine and what comes back (paper, Protocol: sampling)."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field


class Sampling(BaseModel):
    """How answers are drawn at every checkpoint. All of it is identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int = Field(default=5, ge=1, description="Answers a prompt and checkpoint (paper: 5).")
    temperature: float = Field(default=0.7, ge=0.0, le=5.0, description="Softmax temperature; 0 is greedy (paper: 0.7).")
    top_p: float = Field(default=1.0, gt=0.0, le=1.0, description="Nucleus mass (paper: 1).")
    max_new_tokens: int = Field(default=256, ge=1, description="Tokens an answer may have at most (paper: 256).")
    seed: int = Field(default=0, ge=0, description="Study seed, mixed with weights, prompt and sample index.")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question as it is put to a model."""

    prompt_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Response:
    """One sampled answer."""

    prompt_id: str
    sample_idx: int
    response: str
    finish_reason: str
    """``stop`` (the model ended its answer), ``length`` (cut at max_new_tokens) or ``failed`` (a server gave no answer; the text is empty)."""
    n_tokens: int
    """Tokens of the answer; 0 where a server does not count them."""
