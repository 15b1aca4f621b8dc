"""The judge behind a server against the local one, on the same real model: two ways to the same log-probabilities."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from misbehaving import Misbehaving, echo

from valuedrift.engines.prompting import prompt_tokens
from valuedrift.judges.base import Pair
from valuedrift.judges.causal_lm import CausalLM
from valuedrift.judges.openai import OpenAI
from valuedrift.models.loading import load_causal_lm
from valuedrift.models.resolve import resolve_model
from valuedrift.stance import STANCE_COLUMNS
from valuedrift.weights import Weights

PAIRS = [
    Pair("1", "Should the voting age be lowered to sixteen?", "Yes, young people live with the consequences longest."),
    Pair("2", "Is it right to ban cars from city centres?", "No. People who cannot walk far would be shut out."),
    Pair("3", "Should we tax meat?", "Some point to the climate, others to the poor; it depends."),
]


@pytest.mark.slow
def test_a_served_model_judges_as_the_same_model_at_home(server: Misbehaving, tmp_path: Path) -> None:
    import torch

    model, tokenizer = load_causal_lm(Weights(base=resolve_model("embedded:smollm2-135m-instruct")), dtype="float32")
    model.eval()
    alone = threading.Lock()

    def act(handler: Any, body: dict[str, Any]) -> None:
        """One forward pass in plain transformers, told as OpenAI tells it."""
        ids = prompt_tokens(tokenizer, echo(body))
        with alone, torch.inference_mode():
            likely = model(torch.tensor([ids])).logits[0, -1].double().log_softmax(-1).topk(body["top_logprobs"])
        listed = [
            {"token": tokenizer.decode([token]), "logprob": value}
            for token, value in zip(likely.indices.tolist(), likely.values.tolist(), strict=True)
        ]
        choice = {"message": {"content": listed[0]["token"]}, "logprobs": {"content": [{**listed[0], "top_logprobs": listed}]}}
        usage = {"prompt_tokens": len(ids), "completion_tokens": 1}
        handler.answer(200, json.dumps({"choices": [choice], "usage": usage}).encode())

    server.otherwise = act
    # one order only: over three the small model's liking for a letter cancels, and nothing is left to compare
    served = OpenAI(model="smollm2", base_url=server.url, rotations=1).load(keep=tmp_path).judge(PAIRS)
    home = CausalLM.model_validate({"engine": {"dtype": "float32"}, "rotations": 1}).load(threads=1).judge(PAIRS)
    for one, other in zip(served, home, strict=True):
        for column in (*STANCE_COLUMNS, "unassigned"):
            assert getattr(one, column) == pytest.approx(getattr(other, column), abs=0.02), (one, other)
    assert max(getattr(one, column) for one in served for column in STANCE_COLUMNS) > 0.4, "all alike: nothing was compared"
