"""Every judge that reads answers itself: what a panel may be made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from valuedrift.judges.causal_lm_config import CausalLM
from valuedrift.judges.cross_encoder_config import CrossEncoder
from valuedrift.judges.openai_config import OpenAI

SingleJudge = Annotated[CrossEncoder | CausalLM | OpenAI, Field(discriminator="type")]
SINGLE_JUDGES: tuple[type[CrossEncoder | CausalLM | OpenAI], ...] = (CrossEncoder, CausalLM, OpenAI)
