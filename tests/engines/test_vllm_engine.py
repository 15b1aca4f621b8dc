"""What of the vllm engine can be tried without vLLM: its refusal, which adapters it applies, how options become requests."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from valuedrift.engines.base import EngineSettings
from valuedrift.engines.registry import make_engine
from valuedrift.engines.vllm import _applicable, _rank, _stems
from valuedrift.errors import UserError
from valuedrift.weights import Weights


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_it_says_how_to_install_it(smollm: Weights) -> None:
    with pytest.raises(UserError, match=r"pip install 'valuedrift\[gpu\]'"):
        make_engine("vllm", smollm, "f", EngineSettings())


def _adapter(folder: Path, **config: object) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 16, "lora_alpha": 32} | config))
    return folder


def test_only_plain_lora_is_left_to_vllm(tmp_path: Path) -> None:
    assert _applicable(_adapter(tmp_path / "plain"))
    assert not _applicable(_adapter(tmp_path / "dora", use_dora=True))
    assert not _applicable(_adapter(tmp_path / "heads", modules_to_save=["lm_head"]))
    assert not _applicable(_adapter(tmp_path / "huge", r=1024))
    assert not _applicable(_adapter(tmp_path / "ia3", peft_type="IA3"))


@pytest.mark.parametrize(("r", "room"), [(1, 8), (16, 16), (17, 32), (300, 320)])
def test_ranks_are_rounded_up_to_what_vllm_reserves(tmp_path: Path, r: int, room: int) -> None:
    assert _rank(_adapter(tmp_path / "a", r=r)) == room


def test_options_share_requests_by_their_stems() -> None:
    assert _stems([(5,), (6,)]) == {(): {5, 6}}
    assert _stems([(5, 7), (5, 8, 9), (6,)]) == {(): {5, 6}, (5,): {7, 8}, (5, 8): {9}}
