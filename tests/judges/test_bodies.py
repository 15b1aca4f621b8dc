"""Any encoder in Hugging Face layout is a body: its own tokenizer cuts its windows, and adapters on its linear layers are merged as they were trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny_bodies import BODIES, write_body, write_decoder

from valuedrift.errors import UserError
from valuedrift.judges.network.model import StanceNetwork, add_adapters, load_body, load_judge, save_weights
from valuedrift.judges.network.windows import Encoder

TEXTS = ["Yes, it is right.", "no, never. it is wrong, i think, and this should be banned of course", ""]


@pytest.mark.parametrize("kind", [kind for kind in BODIES if kind != "short"])
@pytest.mark.parametrize("with_head", [False, True])
def test_what_was_trained_is_what_judges(kind: str, with_head: bool, tmp_path: Path) -> None:
    folder = write_body(tmp_path / "body", kind, with_head=with_head)
    encoder, network = Encoder(folder), StanceNetwork(load_body(folder)).eval()
    windows = [window for found in encoder.responses(TEXTS) for window in found]
    untrained = network.read(windows, encoder.pad)
    adapters = add_adapters(network.body, 3)
    assert adapters
    for adapter in adapters.values():
        torch.nn.init.normal_(adapter.up, std=0.05)
    trained = network.read(windows, encoder.pad)
    assert not torch.allclose(trained.mean, untrained.mean, atol=1e-3)
    save_weights(tmp_path / "weights.safetensors", network, adapters)
    merged = load_judge(load_body(folder), tmp_path / "weights.safetensors").eval()
    read = merged.read(windows, encoder.pad)
    torch.testing.assert_close(read.mean, trained.mean, atol=2e-3, rtol=0)
    one_by_one = torch.cat([merged.read([window], encoder.pad).mean for window in windows])
    torch.testing.assert_close(read.mean, one_by_one, atol=1e-4, rtol=0)  # padding says nothing


def test_windows_begin_and_end_as_the_body_expects(tmp_path: Path) -> None:
    encoder = Encoder(write_body(tmp_path / "body"))
    assert encoder.prompts(["yes </s> no"])[0][0] == 2
    assert encoder.prompts(["yes no"]) == [(2, 4, 5, 3)]
    assert encoder.prompts(["yes </s> no"])[0][2:-2].count(3) == 0  # in a text it is text
    assert encoder.pad == 1


def test_a_tokenizer_that_begins_no_text_is_none_of_an_encoder(tmp_path: Path) -> None:
    folder = write_decoder(tmp_path / "decoder")
    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(content | {"post_processor": None}))
    with pytest.raises(UserError, match="no token before a text"):
        Encoder(folder)
