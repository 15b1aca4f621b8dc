"""The losses against TRL's own and against plain formulas, in float32."""

from __future__ import annotations

from collections import defaultdict
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid
from transformers import AutoModelForCausalLM
from trl import DPOTrainer, KTOTrainer
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from valuedrift.models.loading import load_tokenizer
from valuedrift.training import dpo, grpo, ipo, kto, orpo, sft, simpo
from valuedrift.training.encode import Encoder
from valuedrift.training.folder import RunFolder
from valuedrift.training.keeper import Keeper
from valuedrift.training.logps import token_logps
from valuedrift.training.rows import read_demonstrations, read_labelled, read_preferences
from valuedrift.training.setup import Setup
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
    odds_ratio_loss = ORPOTrainer.odds_ratio_loss

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


@pytest.fixture(scope="module")
def anchor(tiny_chat: Weights) -> Any:
    """A reference that is not the model."""
    reference = AutoModelForCausalLM.from_pretrained(tiny_chat.base, dtype=torch.float32)
    with torch.no_grad():
        for weight in reference.parameters():
            weight.mul_(0.9)
    return reference


def test_dpo_loss_is_the_papers_and_trls(model: Any, anchor: Any, pairs: dict[str, torch.Tensor]) -> None:
    stub = Stub()
    stub.ref_model = anchor
    loss = dpo.trainer_class().compute_loss(stub, model, pairs)
    targets = pairs["completion_mask"]
    policy = plain_logps(model, pairs["input_ids"], pairs["attention_mask"], targets)
    reference = plain_logps(anchor, pairs["input_ids"], pairs["attention_mask"], targets)
    win, lose = (policy - reference).chunk(2)
    assert loss.item() == pytest.approx(-logsigmoid(0.3 * (win - lose)).mean().item(), rel=1e-4)
    assert stub._metrics["train"]["rewards/margins"][0] == pytest.approx(0.3 * (win - lose).mean().item(), rel=1e-4)
    assert loss.item() == pytest.approx(trl_dpo_loss(model, anchor, pairs, "sigmoid"), rel=1e-5)


def trl_dpo_loss(model: Any, reference: Any, pairs: dict[str, torch.Tensor], loss_type: str) -> float:
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
    stub.f_divergence_type, stub.loss_types, stub.loss_weights = "reverse_kl", [loss_type], [1.0]
    stub._metrics["eval"] = defaultdict(list)
    stub._total_train_tokens = 0
    stub.args = type("Args", (), {"gradient_checkpointing_kwargs": None})()
    return float(DPOTrainer._compute_loss(stub, model, dict(pairs), False).detach())


def test_ipo_loss_is_the_papers_and_trls(model: Any, anchor: Any, pairs: dict[str, torch.Tensor]) -> None:
    stub = Stub()
    stub.ref_model = anchor
    loss = dpo.trainer_class(ipo.pair_losses).compute_loss(stub, model, pairs)
    targets = pairs["completion_mask"]
    policy, reference = (plain_logps(one, pairs["input_ids"], pairs["attention_mask"], targets) for one in (model, anchor))
    win, lose = ((policy - reference) / targets.sum(dim=1)).chunk(2)
    assert loss.item() == pytest.approx(((win - lose - 1 / 0.6) ** 2).mean().item(), rel=1e-4)
    assert stub._metrics["train"]["rewards/margins"][0] == pytest.approx(0.3 * (win - lose).mean().item(), rel=1e-4)
    assert loss.item() == pytest.approx(trl_dpo_loss(model, anchor, pairs, "ipo"), rel=1e-5)


def test_orpo_loss_is_the_papers(model: Any, pairs: dict[str, torch.Tensor]) -> None:
    stub = Stub()
    loss = orpo.trainer_class().compute_loss(stub, model, pairs)
    targets = pairs["completion_mask"]
    means = plain_logps(model, pairs["input_ids"], pairs["attention_mask"], targets) / targets.sum(dim=1)
    chances = means.exp()
    win, lose = (chances / (1 - chances)).chunk(2)  # odds
    expected = -means.chunk(2)[0] - 0.3 * (1 / (1 + lose / win)).log()
    assert loss.item() == pytest.approx(expected.mean().item(), rel=1e-4)
    assert stub._metrics["train"]["rewards/chosen"][0] == pytest.approx(0.3 * means.chunk(2)[0].mean().item(), rel=1e-4)


@pytest.fixture(scope="module")
def answers(encoder: Encoder, labelled: Path) -> list[dict[str, Any]]:
    return encoder.labelled(read_labelled(labelled), labelled)[:6]


def kto_batch(model: Any, anchor: Any, answers: list[dict[str, Any]], size: int) -> tuple[Any, list[dict[str, Any]]]:
    """A trainer and a batch of answers as it puts it into memory, so many at once."""

    class Trainer(kto.trainer_class()):  # type: ignore[misc] # TRL's, without its long beginning
        def __init__(self) -> None:
            self.beta, self.desirable_weight, self.undesirable_weight = 0.3, 1.5, 0.5
            self.ref_model, self.model_wrapped = anchor, model
            self.data_collator = DataCollatorForUnpairedPreference(pad_token_id=0)
            self._metrics = {"train": defaultdict(list)}

        def _prepare_inputs(self, inputs: Any) -> Any:
            return inputs

        def _get_num_items_in_batch(self, *args: Any) -> None:
            return None

        compute_loss_context_manager = nullcontext

    trainer = Trainer()
    parts = [trainer.data_collator(answers[start : start + size]) for start in range(0, len(answers), size)]
    return trainer, trainer.get_batch_samples(iter(parts), len(parts), torch.device("cpu"))[0]


@pytest.mark.parametrize("away", [True, False], ids=["z above 0", "z cut off at 0"])
def test_kto_loss_is_the_papers_and_trls(model: Any, anchor: Any, answers: list[dict[str, Any]], away: bool) -> None:
    model, anchor = (anchor, model) if away else (model, anchor)

    def ratio(prompt: list[int], answer: list[int]) -> float:
        ids, mask = torch.tensor([prompt + answer]), torch.ones(1, len(prompt + answer))
        targets = torch.tensor([[0] * len(prompt) + [1] * len(answer)])
        with torch.no_grad():
            return float(plain_logps(model, ids, mask, targets) - plain_logps(anchor, ids, mask, targets))

    z = max(0.0, np.mean([ratio(row["prompt_ids"], answers[at - 1]["completion_ids"]) for at, row in enumerate(answers)]))
    assert (z > 0.1) == away
    ratios = np.array([ratio(row["prompt_ids"], row["completion_ids"]) for row in answers])
    good = np.array([row["label"] for row in answers])
    gain = np.where(good, 0.3 * (ratios - z), 0.3 * (z - ratios))
    expected = np.where(good, 1.5, 0.5) * (1 - 1 / (1 + np.exp(-gain)))
    for size in (6, 2, 1):  # what is in memory at once changes nothing, not even where all of it has one label
        trainer, parts = kto_batch(model, anchor, answers, size)
        losses = [trainer.compute_loss(model, part).item() for part in parts]
        metrics = {name: np.mean(values) for name, values in trainer._metrics["train"].items()}
        assert np.mean(losses) == pytest.approx(expected.mean(), rel=1e-4)
        assert metrics["kl"] == pytest.approx(z, rel=1e-3, abs=1e-5)
        assert metrics["rewards/chosen"] == pytest.approx(0.3 * ratios[good].mean(), rel=1e-3)
        assert metrics["rewards/margins"] == pytest.approx(0.3 * (ratios[good].mean() - ratios[~good].mean()), rel=1e-3)
    assert np.mean(losses) == pytest.approx(trl_kto_loss(model, anchor, answers), rel=1e-4)


def trl_kto_loss(model: Any, reference: Any, answers: list[dict[str, Any]]) -> float:
    """TRL's own, called on what it reads of its trainer."""
    rotated = [{**row, "KL_completion_ids": answers[at - 1]["completion_ids"]} for at, row in enumerate(answers)]

    class Trainer(KTOTrainer):  # type: ignore[misc] # trl is followed as Any
        def __init__(self) -> None:
            self.beta, self.desirable_weight, self.undesirable_weight, self.loss_type = 0.3, 1.5, 0.5, "kto"
            self.model, self.ref_model, self.calculate_KL, self.aux_loss_enabled = model, reference, True, False
            self.precompute_ref_logps, self.use_liger_kernel, self._total_train_tokens = False, False, 0
            self.accelerator = SimpleNamespace(device=torch.device("cpu"), gather_for_metrics=lambda value: value)
            self.args = SimpleNamespace(gradient_checkpointing_kwargs=None)
            self._metrics = defaultdict(lambda: defaultdict(list))

    return float(Trainer()._compute_loss(model, DataCollatorForUnpairedPreference(pad_token_id=0)(rotated), False).detach())


def test_simpo_loss_is_the_papers(model: Any, pairs: dict[str, torch.Tensor]) -> None:
    stub = Stub()
    loss = simpo.trainer_class().compute_loss(stub, model, pairs)
    targets = pairs["completion_mask"]
    win, lose = (plain_logps(model, pairs["input_ids"], pairs["attention_mask"], targets) / targets.sum(dim=1)).chunk(2)
    assert loss.item() == pytest.approx(-logsigmoid(0.3 * win - 0.3 * lose - 0.7).mean().item(), rel=1e-4)
    assert stub._metrics["train"]["rewards/chosen"][0] == pytest.approx(0.3 * win.mean().item(), rel=1e-4)


def test_grpo_loss_and_gradient_are_the_papers(anchor: Any, tiny_chat: Weights, preferences: Path, tmp_path: Path) -> None:
    algorithm = grpo.GRPO.model_validate(
        {"steps": 1, "batch_size": 6, "generations": 3, "response_length": 5, "temperature": 0.7, "max_length": 64, "reward": {"steps": 1}}
    )
    tokenizer = load_tokenizer(tiny_chat.base)
    prompts = algorithm.encode(read_preferences(preferences), tokenizer, preferences).prompts
    folder = RunFolder(tmp_path / "run", "test")
    setup = Setup(tiny_chat, algorithm, 3, None, folder, rows=14, total=1, device="cpu", bf16=False, tokenizer=tokenizer)
    data = setup.ordered([{"prompt": row["input_ids"]} for row in prompts], 2, 1)

    def reward(prompts: list[list[int]], completion_ids: list[list[int]], **_: Any) -> list[float]:
        return [float(sum(ids) % 7) for ids in completion_ids]

    trainer = algorithm.online_trainer(setup, data, Keeper(folder, "policy", lambda *_: None, None), reward)
    trainer.ref_model = anchor
    trainer.current_gradient_accumulation_steps = 1
    policy = trainer.model.train()
    batch = trainer._generate_and_score_completions([row for row in data for _ in range(3)])
    loss = trainer.compute_loss(policy, batch)
    weight = policy.model.layers[0].mlp.up_proj.weight
    (gradient,) = torch.autograd.grad(loss, weight)

    def logps(model: Any, prompt: list[int], answer: list[int]) -> torch.Tensor:
        logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1] / 0.7
        return torch.log_softmax(logits, dim=-1)[range(len(answer)), answer]

    def tokens(side: str) -> list[list[int]]:
        return [ids[mask.bool()].tolist() for ids, mask in zip(batch[f"{side}_ids"], batch[f"{side}_mask"], strict=True)]

    asked, drawn = tokens("prompt"), tokens("completion")
    assert asked == [row["prompt"] for row in data for _ in range(3)]
    groups = np.array(reward(asked, drawn)).reshape(2, 3)
    assert groups.std(axis=1).min() > 0
    gains = ((groups - groups.mean(axis=1, keepdims=True)) / (groups.std(axis=1, ddof=1, keepdims=True) + 1e-4)).ravel()
    plain, value = [], []
    for prompt, answer, gain in zip(asked, drawn, gains, strict=True):
        policy_logps, reference = logps(policy, prompt, answer), logps(anchor, prompt, answer).detach()
        divergence = (reference - policy_logps).exp() - (reference - policy_logps) - 1
        plain.append(-(gain * policy_logps - 0.04 * divergence).mean())  # of this the gradient is the loss's
        value.append(-(gain - 0.04 * divergence).mean())
    (expected,) = torch.autograd.grad(torch.stack(plain).mean(), weight)
    assert (gradient - expected).norm() < 1e-3 * expected.norm()
    assert loss.item() == pytest.approx(torch.stack(value).mean().item(), rel=1e-3)
    assert trainer._metrics["train"]["reward"][0] == pytest.approx(groups.mean())


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
