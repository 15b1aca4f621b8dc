"""What judges that are asked by a prompt have in common in a study file: how the options are put, and how much of an answer is shown."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from valuedrift.judges.calibrated_config import Calibratable
from valuedrift.judges.prompt import PROMPT_VERSION, Labels


class PromptedJudge(Calibratable):
    """A language model that is shown prompt and response and answers with one of three options (paper, Protocol: judging)."""

    rotations: Literal[1, 3, 6] = Field(
        default=3,
        description="Orders in which the three options are put: 1 as in the paper, 3 (every option once in every place), or all 6. "
        "Log-probabilities are averaged over them, so that a liking for a place or a letter cancels.",
    )
    labels: Labels = Field(
        default="letters",
        description="What the model answers with: `letters` (A, B, C, by place) or `words` (support, neutral, oppose).",
    )
    max_answer: int = Field(
        default=5000,
        ge=200,
        description="Bytes of UTF-8 of a response that are shown; of a longer one both ends. No tokenizer makes more tokens than bytes.",
    )
    max_prompt: int = Field(default=2000, ge=200, description="The same of the prompt that was answered.")

    def prompt_identity(self) -> dict[str, Any]:
        """What of the prompt changes answers, for :meth:`identity`."""
        from valuedrift.judges import refusals

        return {
            "prompt": PROMPT_VERSION,
            "rotations": self.rotations,
            "labels": self.labels,
            "max_answer": self.max_answer,
            "max_prompt": self.max_prompt,
            "refusals": refusals.VERSION,
        }
