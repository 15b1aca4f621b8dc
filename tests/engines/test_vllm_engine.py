"""What of the vllm engine can be tried without vLLM: its refusal, what room its adapters need, how options become requests."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from valuedrift.engines.base import EngineSettings
from valuedrift.engines.registry import make_engine
from valuedrift.engines.vllm import _in_turns, _stems
from valuedrift.engines.vllm_start import reserved
from valuedrift.errors import UserError
from valuedrift.weights import Weights


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_it_says_how_to_install_it(smollm: Weights) -> None:
    with pytest.raises(UserError, match=r"pip install 'valuedrift\[gpu\]'"):
        make_engine("vllm", smollm, "f", EngineSettings())


@pytest.mark.parametrize(("r", "room"), [(1, 8), (16, 16), (17, 32), (300, 320)])
def test_ranks_are_rounded_up_to_what_vllm_reserves(r: int, room: int) -> None:
    assert reserved(r) == room


def test_options_share_requests_by_their_stems() -> None:
    assert _stems([(5,), (6,)]) == {(): {5, 6}}
    assert _stems([(5, 7), (5, 8, 9), (6,)]) == {(): {5, 6}, (5,): {7, 8}, (5, 8): {9}}


def test_many_options_take_turns() -> None:
    turns = _in_turns(range(300))
    assert [token for turn in turns for token in turn] == list(range(300))
    assert max(map(len, turns)) == 128, "what vLLM tells for one request"
