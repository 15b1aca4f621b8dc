"""The canary on the real model: silent when decoding is right, loud when positions or masks are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from valuedrift.engines.decoding import attention
from valuedrift.engines.decoding.canary import check_decoding
from valuedrift.errors import UserError
from valuedrift.models.loading import load_causal_lm
from valuedrift.weights import Weights


class Faulty(torch.nn.Module):
    """A model that decodes with a fault."""

    def __init__(self, model: Any, fault: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self.inner, self.fault = model, fault
        self.config, self.device, self.dtype = model.config, model.device, model.dtype
        self.set_attn_implementation = model.set_attn_implementation

    def forward(self, **kwargs: Any) -> Any:
        if "attention_mask" in kwargs:
            self.fault(kwargs)
        return self.inner(**kwargs)


@pytest.fixture(scope="module")
def model(smollm: Weights) -> Any:
    model, _ = load_causal_lm(smollm, dtype="bfloat16")
    attention.fold(model)
    return model


def _shift(kwargs: dict[str, Any]) -> None:
    kwargs["position_ids"] = kwargs["position_ids"] - 1


def _forget_positions(kwargs: dict[str, Any]) -> None:
    del kwargs["position_ids"]


def _open_mask(kwargs: dict[str, Any]) -> None:
    kwargs["attention_mask"] = torch.zeros_like(kwargs["attention_mask"])


def test_right_decoding_passes_and_keeps_the_attention(model: Any) -> None:
    check_decoding(model)
    assert model.config._attn_implementation == attention.NAME


@pytest.mark.parametrize("fault", [_shift, _forget_positions, _open_mask])
def test_wrong_decoding_is_refused(model: Any, fault: Callable[[dict[str, Any]], None]) -> None:
    with pytest.raises(UserError, match="diverge"):
        check_decoding(Faulty(model, fault))
