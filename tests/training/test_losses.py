"""The losses against TRL's own and against plain formulas, in float32."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn.functional import logsigmoid
from transformers import AutoModelForCausalLM
from trl import DPOTrainer
from trl.experimental.cpo import CPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from valuedrift.models.loading import load_tokenizer
from valuedrift.training import dpo, sft, simpo
from valuedrift.training.encode import Encoder
from valuedrift.training.logps import token_logps
from valuedrift.training.rows import read_demonstrations, read_preferences
from valuedrift.weights import Weights


def plain_logps(model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Sums over targets from the logits of all positions."""
    logits = model(input_ids=input_ids, attention_mask=attention_mask).logits.double()
    chosen = torch.log_softmax(logits[:, :-1], dim=-1).gather(2, input_ids[:, 1:, None]).squeeze(2)
    return (chosen * targets[:, 1:]).sum(dim=1)


@pytest.fixture(scope="module")
def model(tiny_chat: Weights) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny_chat.base, dtype=torch.float32)


@pytest.fixture(scope="module")
def encoder(tiny_chat: Weights) -> Encoder:
    return Encoder(load_tokenizer(tiny_chat.base), 64)


@pytest.fixture(scope="module")
def pairs(encoder: Encoder, preferences: Path) -> dict[str, torch.Tensor]:
    rows = encoder.preferences(read_preferences(preferences), preferences)[:5]
    return DataCollatorForPreference(pad_token_id=0)(rows)


class Stub:
    """What a loss needs of its trainer, and no more."""

    beta = 0.3
    simpo_gamma = 0.7
    alpha = 0.0
    label_smoothing = 0.0
    loss_type = "simpo"
    ref_model: Any = None
    cpo_loss = CPOTrainer.cpo_loss

    def __init__(self) -> None:
        self._metrics: dict[str, defaultdict[str, list[float]]] = {"train": defaultdict(list)}
        self._stored_metrics = self._metrics
        self.accelerator: Any = SimpleNamespace(device=torch.device("cpu"))


def test_answer_tokens_get_the_log_probabilities_of_a_full_pass(model: Any, pairs: dict[str, torch.Tensor]) -> None:
    targets = pairs["completion_mask"].bool()
    logps, counted = token_logps(model, pairs["input_ids"], pairs["attention_mask"], targets)
    expected = plain_logps(model, pairs["input_ids"], pairs["attention_mask"], targets)
    torch.testing.assert_close(logps.sum(dim=1).double(), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(counted.sum(dim=1), targets.sum(dim=1).float())
    assert logps.shape[1] < pairs["input_ids"].shape[1]


def test_sft_loss_and_gradient_are_those_of_transformers(model: Any, encoder: Encoder, demonstrations: Path) -> None:
    rows = encoder.demonstrations(read_demonstrations(demonstrations), demonstrations)[:4]
    batch = DataCollatorForLanguageModeling(pad_token_id=0)(rows)
    weight = model.model.layers[0].mlp.up_proj.weight
    expected = model(**batch).loss
    (gradient,) = torch.autograd.grad(expected, weight)
    loss = sft.trainer_class().compute_loss(Stub(), model, batch)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(torch.autograd.grad(loss, weight)[0], gradient, rtol=1e-4, atol=1e-6)
    count = torch.tensor(100)
    scaled = sft.trainer_class().compute_loss(Stub(), model, batch, num_items_in_batch=count)
    torch.testing.assert_close(scaled, model(**batch, num_items_in_batch=count).loss, rtol=1e-5, atol=1e-6)


def test_dpo_loss_is_the_papers_and_trls(model: Any, tiny_chat: Weights, pairs: dict[str, torch.Tensor]) -> None:
    reference = AutoModelForCausalLM.from_pretrained(tiny_chat.base, dtype=torch.float32)
    with torch.no_grad():
        for weight in reference.parameters():
            weight.mul_(0.9)
    stub = Stub()
    stub.ref_model = reference
    loss = dpo.trainer_class().compute_loss(stub, model, pairs)
    targets = pairs["completion_mask"]
    policy = plain_logps(model, pairs["input_ids"], pairs["attention_mask"], targets)
    anchor = plain_logps(reference, pairs["input_ids"], pairs["attention_mask"], targets)
    win, lose = (policy - anchor).chunk(2)
    assert loss.item() == pytest.approx(-logsigmoid(0.3 * (win - lose)).mean().item(), rel=1e-4)
    assert stub._metrics["train"]["rewards/margins"][0] == pytest.approx(0.3 * (win - lose).mean().item(), rel=1e-4)
    assert loss.item() == pytest.approx(trl_dpo_loss(model, reference, pairs), rel=1e-5)


def trl_dpo_loss(model: Any, reference: Any, pairs: dict[str, torch.Tensor]) -> float:
    """TRL's own, called on what it reads of its trainer."""

    class Accelerator:
        device = torch.device("cpu")

        def gather(self, value: Any) -> Any:
            return value

        gather_for_metrics = gather

    stub = Stub()
    stub.ref_model, stub.accelerator, stub.model = reference, Accelerator(), model
    stub.aux_loss_enabled = stub.precompute_ref_logps = stub.use_weighting = False
    stub.ld_alpha = None
    stub.f_divergence_type, stub.loss_types, stub.loss_weights = "reverse_kl", ["sigmoid"], [1.0]
    stub._metrics["eval"] = defaultdict(list)
    stub._total_train_tokens = 0
    stub.args = type("Args", (), {"gradient_checkpointing_kwargs": None})()
    return float(DPOTrainer._compute_loss(stub, model, dict(pairs), False).detach())


def test_simpo_loss_is_the_papers(model: Any, pairs: dict[str, torch.Tensor]) -> None:
    stub = Stub()
    loss = simpo.trainer_class().compute_loss(stub, model, pairs)
    targets = pairs["completion_mask"]
    win, lose = (plain_logps(model, pairs["input_ids"], pairs["attention_mask"], targets) / targets.sum(dim=1)).chunk(2)
    assert loss.item() == pytest.approx(-logsigmoid(0.3 * win - 0.3 * lose - 0.7).mean().item(), rel=1e-4)
    assert stub._metrics["train"]["rewards/chosen"][0] == pytest.approx(0.3 * win.mean().item(), rel=1e-4)


def test_the_reward_heads_score_is_that_of_the_last_token(tiny_chat: Weights, encoder: Encoder) -> None:
    from valuedrift.training.reward import with_scalar_head

    model = AutoModelForCausalLM.from_pretrained(tiny_chat.base, dtype=torch.float32)
    ids = torch.tensor([encoder.prompt([{"role": "user", "content": "vote"}]) + encoder.answer("yes")])
    hidden = model.model(ids).last_hidden_state
    scored = with_scalar_head(model, pad_token_id=0)
    assert scored(ids).logits.item() == 0.0
    torch.nn.init.normal_(scored.score.weight)
    padded = torch.cat([ids, torch.zeros(1, 3, dtype=torch.long)], dim=1)
    mask = (padded != 0).long()
    expected = (hidden[0, -1] @ scored.score.weight[0]).item()
    assert scored(padded, attention_mask=mask).logits.item() == pytest.approx(expected, rel=1e-4)
