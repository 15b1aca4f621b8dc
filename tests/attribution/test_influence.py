"""Row and stance gradients against references that know nothing of them: finite differences, a real training's log, exact expectations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from tiny_training import save_tiny_chat, sentences, write_rows
from torch import Tensor

from valuedrift.attribution.checkpoint import load_checkpoint
from valuedrift.attribution.gradients import Projection, trained_weights
from valuedrift.attribution.influence import Piece, at_checkpoint, together
from valuedrift.attribution.rows import _blocks, row_gradients
from valuedrift.attribution.stances import Asked, _below_each_other, _in_one_line, stance_gradients
from valuedrift.attribution.uses import Logged, segments
from valuedrift.models.loading import load_causal_lm
from valuedrift.training.job import TrainJob
from valuedrift.training.rows import READERS
from valuedrift.training.schedule import Every
from valuedrift.training.setup import row_order
from valuedrift.training.sft import SFT
from valuedrift.weight_files import MOMENTS
from valuedrift.weights import Weights

TEMPERATURE = 0.7
ROW = {"input_ids": [5, 9, 31, 44, 12, 2], "labels": [-100, -100, 31, 44, 12, 2]}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return Weights(base=save_tiny_chat(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def model(tiny: Weights) -> Any:
    return load_causal_lm(tiny)[0].double()


def logp(model: Any, prompt: list[int], answer: list[int], temperature: float = 1.0) -> Tensor:
    """Log π_T(y|x), token by token."""
    logits = model(torch.tensor([[*prompt, *answer]])).logits[0] / temperature
    return torch.stack([logits[len(prompt) + at - 1].log_softmax(-1)[token] for at, token in enumerate(answer)]).sum()


def step_on_row(model: Any, rate: float) -> None:
    """One step of plain SGD on the mean loss of the row's learnt tokens, by hand."""
    model.zero_grad()
    (-logp(model, ROW["input_ids"][:2], ROW["input_ids"][2:]) / 4).backward()
    with torch.no_grad():
        for weight in model.parameters():
            weight -= rate * weight.grad


def prompts() -> list[Asked]:
    draw = np.random.default_rng(0)
    return [
        Asked(
            prompt=draw.integers(3, 300, 4).tolist(),
            answers=[draw.integers(3, 300, length).tolist() for length in (3, 1, 5)],
            stances=draw.uniform(size=(3, 2)),
        )
        for _ in range(2)
    ]


def test_a_row_moves_the_stance_as_a_step_on_it_does(model: Any) -> None:
    asked, rate = prompts(), 1e-4

    def value(stance: int) -> float:
        """V after the step: the same answers, weighted by how much likelier they became."""
        with torch.no_grad():
            now = [[float(logp(model, list(one.prompt), list(answer), TEMPERATURE)) for answer in one.answers] for one in asked]
        return float(
            np.mean(
                [
                    np.mean(
                        [
                            (one.stances[at, stance] - np.delete(one.stances[:, stance], at).mean())
                            * np.exp(now[place][at] - before[place][at])
                            for at in range(3)
                        ]
                    )
                    for place, one in enumerate(asked)
                ]
            )
        )

    with torch.no_grad():
        before = [[float(logp(model, list(one.prompt), list(answer), TEMPERATURE)) for answer in one.answers] for one in asked]
    start = [value(stance) for stance in (0, 1)]
    model.requires_grad_(True)
    sft = SFT(steps=1)
    assert sft.row_weight(ROW) == 4
    piece = at_checkpoint(model, sft, {7: (rate / 4, ROW)}, {"t": asked}, temperature=TEMPERATURE, dimensions=10**7)["t"]
    step_on_row(model, rate)
    moved = [value(stance) - start[stance] for stance in (0, 1)]
    assert min(map(abs, moved)) > 1e-6
    np.testing.assert_allclose(piece.scores[0].mean(axis=0), moved, rtol=2e-3)
    assert piece.rows.tolist() == [7]


def test_the_stance_gradient_is_that_of_the_expected_stance(model: Any) -> None:
    """Answers of one token: the expectation over all of them is exact."""
    model.requires_grad_(True)
    prompt, draw = [4, 8, 15], np.random.default_rng(1)
    torch.manual_seed(0)
    chances = (model(torch.tensor([prompt])).logits[0, -1] / TEMPERATURE).softmax(-1).detach()
    stance = torch.tensor(draw.uniform(size=len(chances)))
    weights = trained_weights(model)
    exact = torch.autograd.grad(
        ((model(torch.tensor([prompt])).logits[0, -1] / TEMPERATURE).softmax(-1) * stance).sum(), tuple(weights.values())
    )
    tokens = torch.multinomial(chances, 4000, replacement=True).tolist()
    estimates = []
    for start in range(0, len(tokens), 200):
        some = tokens[start : start + 200]
        asked = Asked(prompt, [[token] for token in some], stance[some].numpy()[:, None])
        (gradient,) = stance_gradients(model, weights, asked, TEMPERATURE)
        estimates.append(sum(float((mine * theirs).sum()) for mine, theirs in zip(gradient, exact, strict=True) if mine is not None))
    wanted = sum(float((one * one).sum()) for one in exact)
    error = np.std(estimates, ddof=1) / np.sqrt(len(estimates))
    assert error < 0.2 * wanted
    assert abs(np.mean(estimates) - wanted) < 4 * error


@pytest.mark.parametrize("lora", [{"r": 4}, None], ids=["lora", "full"])
def test_rows_of_a_batch_sum_to_the_gradient_that_the_training_logged(tiny: Weights, tmp_path: Path, lora: dict[str, int] | None) -> None:
    """Loss, masks, order, initial adapters and checkpoints are those of the training."""
    rows = [{"prompt": question, "response": f"surely {question}"} for question in sentences(11, 1)]
    dataset = write_rows(tmp_path / "rows.jsonl", [*rows[:4], {"prompt": "should people vote " * 12, "response": "no"}, *rows[4:]])
    sft = SFT(steps=4, batch_size=3, max_length=40, learning_rate=1e-2, lora=lora, dtype="float32")
    job = TrainJob(weights=tiny, algorithm=sft, dataset=dataset, schedule=Every(n=1), seed=3, out=tmp_path / "run", device="cpu")
    result = job.run(lambda _: None)
    assert result.dropped_rows == 1
    for step in range(4):
        own = result.checkpoints[step].weights if step else None
        model, tokenizer = load_checkpoint(tiny, own, sft, 3, "cpu")
        tokens = sft.encode(READERS["sft"](dataset), tokenizer, dataset)
        assert tokens.places == [place for place in range(12) if place != 4]
        batch = row_order(len(tokens.rows), 12, 3)[3 * step : 3 * step + 3]
        loss = sum(sft.row_losses(model, [tokens.rows[row]])[0] for row in batch) / sum(sft.row_weight(tokens.rows[row]) for row in batch)
        gradient = torch.autograd.grad(loss, tuple(trained_weights(model).values()))
        norm = float(sum((part**2).sum() for part in gradient)) ** 0.5
        assert loss.item() == pytest.approx(result.metrics[step].loss, rel=1e-4)
        assert norm == pytest.approx(result.metrics[step].grad_norm, rel=1e-3)


def test_a_projection_keeps_products_on_average() -> None:
    sizes, draw = [7000, 13_000, 501], torch.Generator().manual_seed(5)
    names = ["a", "b", "c"]
    one = [torch.randn(size, generator=draw) for size in sizes]
    other = [0.3 * first + torch.randn(size, generator=draw) for first, size in zip(one, sizes, strict=True)]
    exact = float(sum((a * b).sum() for a, b in zip(one, other, strict=True)))
    scale = float(torch.cat(one).norm() * torch.cat(other).norm())
    project = Projection(names, sizes, 1021)
    assert project.folds
    assert project.length == 1021
    assert abs(float(project(one) @ project(other)) - exact) < 4 * scale / 1021**0.5
    assert torch.equal(project([one[0], None, one[2]]), project([one[0], torch.zeros(sizes[1]), one[2]]))
    errors = [
        float(
            Projection([f"{name}{seed}" for name in names], sizes, 1021)(one)
            @ Projection([f"{name}{seed}" for name in names], sizes, 1021)(other)
        )
        - exact
        for seed in range(60)
    ]
    assert abs(np.mean(errors)) < 4 * np.std(errors) / 60**0.5
    assert np.std(errors) < 1.5 * scale / 1021**0.5
    whole = Projection(names, sizes, sum(sizes))
    assert not whole.folds
    assert float(whole(one) @ whole(other)) == pytest.approx(exact, rel=1e-4)


def test_a_row_is_used_at_the_checkpoint_nearest_to_the_weights_before_the_step() -> None:
    logged = [Logged(0.1 * (step + 1), norm) for step, norm in enumerate((0.5, 4.0, 1.0, 2.0, 0.1))]
    parts = segments([0, 1, 2, 0, 1, 2, 0, 1, 2, 0], 2, lambda row: float(row + 1), logged, [0, 1, 5])
    assert [(part.checkpoint, [batch.step for batch in part.batches]) for part in parts] == [(0, [1]), (1, [2, 3, 4]), (5, [5])]
    assert parts[0].rates() == pytest.approx({0: 0.1 / 3, 1: 0.1 / 3})
    rates = [0.2 / 4 / 4, 0.3 / 5, 0.4 / 2 / 3]  # learning rate, clipped to norm 1, over the batch's weight
    assert parts[1].rates() == pytest.approx({0: rates[0] + rates[2], 1: rates[1] + rates[2], 2: rates[0] + rates[1]}, rel=1e-5)


def test_scores_are_summed_over_checkpoints_with_errors_over_prompts() -> None:
    draw = np.random.default_rng(2)
    first, second = draw.normal(size=(2, 4, 2)).astype(np.float32), draw.normal(size=(1, 4, 2)).astype(np.float32)
    gradients = draw.normal(size=(2, 2, 3)).astype(np.float32)
    pieces = [
        Piece(np.array([0, 2]), first, np.array([2, 5], dtype=np.float32), gradients[0], np.zeros(3, dtype=np.float32)),
        Piece(np.array([2]), second, np.array([4], dtype=np.float32), gradients[1], np.ones(3, dtype=np.float32)),
    ]
    found = together(pieces, 3)
    support = found.scores.filter(stance="support").sort("row")
    each = np.stack([first[0, :, 0], np.zeros(4), first[1, :, 0] + second[0, :, 0]])
    np.testing.assert_allclose(support["score"], each.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(support["score_se"], each.std(axis=1, ddof=1) / 2, rtol=1e-6)
    lengths = np.linalg.norm(gradients[:, 0], axis=1)
    of_last = (first[1, :, 0].mean() / 5 / lengths[0] + second[0, :, 0].mean() / 4 / lengths[1]) / 2
    assert support["cosine"][1] is None, "a row that was not used"
    np.testing.assert_allclose(support["cosine"].gather([0, 2]), [first[0, :, 0].mean() / 2 / lengths[0], of_last], rtol=1e-5)
    by_stance = found.scores.pivot("stance", index="row", values="score").sort("row")
    np.testing.assert_allclose(by_stance["support"] + by_stance["neutral"] + by_stance["oppose"], 0, atol=1e-7)
    total = found.totals.row(by_predicate=pl.col("stance") == "oppose", named=True)
    np.testing.assert_allclose(total["first_order"], (first[..., 1].sum(0) + second[0, :, 1]).mean(), rtol=1e-6)
    np.testing.assert_allclose(total["along_path"], gradients[:, 1].mean(axis=0).sum(), rtol=1e-5)


def test_with_adams_scales_the_rows_tell_the_way_that_the_weights_went(tiny: Weights, tmp_path: Path) -> None:
    """A checkpoint a step, no momentum to speak of at the first: the first step of Adam, rebuilt from its rows."""
    rows = [{"prompt": question, "response": f"surely {question}"} for question in sentences(6, 1)]
    dataset = write_rows(tmp_path / "rows.jsonl", rows)
    sft = SFT(steps=1, batch_size=3, max_length=40, learning_rate=1e-3, schedule="constant", lora={"r": 4}, dtype="float32")
    job = TrainJob(
        weights=tiny, algorithm=sft, dataset=dataset, schedule=Every(n=1), seed=3, out=tmp_path / "run", device="cpu", moments=True
    )
    result = job.run(lambda _: None)
    last = result.checkpoints[1].weights
    moments = load_file(last.adapters[-1] / MOMENTS)
    assert last.fingerprint() == result.checkpoints[1].fingerprint
    start, tokenizer = load_checkpoint(tiny, None, sft, 3, "cpu")
    end, _ = load_checkpoint(tiny, last, sft, 3, "cpu")
    tokens = sft.encode(READERS["sft"](dataset), tokenizer, dataset)
    logged = [Logged(row.learning_rate, row.grad_norm) for row in result.metrics]
    (part, _) = segments(row_order(6, 3, 3), 3, lambda row: sft.row_weight(tokens.rows[row]), logged, [0, 1], momentum=0.9)
    asked = prompts()
    learnt = {row: (rate, tokens.rows[row]) for row, rate in part.rates().items()}
    piece = at_checkpoint(start, sft, learnt, {"t": asked}, temperature=TEMPERATURE, dimensions=10**7, moments=moments)["t"]
    steps = []
    for rate, row in learnt.values():
        gradient = torch.autograd.grad(sft.row_losses(start, [row])[0], tuple(trained_weights(start).values()))
        parts = zip(trained_weights(start), gradient, strict=True)
        steps.append(rate * sum(float(((part / (moments[name].sqrt() + 1e-8)) ** 2).sum()) for name, part in parts) ** 0.5)
    np.testing.assert_allclose(piece.lengths, steps, rtol=1e-4)
    away = {name: weight.detach() - trained_weights(start)[name].detach() for name, weight in trained_weights(end).items()}
    weights = trained_weights(start)
    for stance in (0, 1):
        moved = 0.0
        for one in asked:
            gradient = stance_gradients(start, weights, one, TEMPERATURE)[stance]
            moved += sum(float((part * away[name]).sum()) for name, part in zip(weights, gradient, strict=True) if part is not None) / 2
        assert piece.scores[:, :, stance].mean(axis=1).sum() == pytest.approx(moved, rel=1e-2)
    half = sum(weight.numel() for weight in weights.values()) // 2
    folded = at_checkpoint(start, sft, learnt, {"t": asked}, temperature=TEMPERATURE, dimensions=half, moments=moments)["t"]
    found, exact = (one.scores.astype(float).ravel() for one in (folded, piece))
    assert np.corrcoef(found, exact)[0, 1] > 0.85, "folding does not drown the scores, though some of Adam's scales are huge"


def test_momentum_spreads_a_gradient_over_the_steps_that_follow() -> None:
    rates = [0.3, 0.2, 0.1]
    parts = segments([0, 1, 2], 1, lambda _: 1.0, [Logged(rate, 0.5) for rate in rates], [0], momentum=0.9)
    wanted = [sum(rates[at] * 0.1 * 0.9 ** (at - used) / (1 - 0.9 ** (at + 1)) for at in range(used, 3)) for used in range(3)]
    assert list(parts[0].rates().values()) == pytest.approx(wanted)


def test_answers_behind_one_prompt_are_as_likely_as_each_behind_its_own(model: Any) -> None:
    model.requires_grad_(True)
    weights = tuple(trained_weights(model).values())
    for asked in prompts():
        each = torch.stack([logp(model, list(asked.prompt), list(answer), TEMPERATURE) for answer in asked.answers])
        for found in (_in_one_line(model, asked, TEMPERATURE), _below_each_other(model, asked, TEMPERATURE)):
            torch.testing.assert_close(found.double(), each, rtol=1e-5, atol=1e-5)
            for mine, theirs in zip(
                torch.autograd.grad(found[2], weights), torch.autograd.grad(each[2], weights, retain_graph=True), strict=True
            ):
                torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("lora", [{"r": 4}, None], ids=["lora", "full"])
def test_rows_that_go_together_have_the_gradients_that_each_has_alone(
    tiny: Weights, tmp_path: Path, lora: dict[str, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens_at_once = 60
    monkeypatch.setattr("valuedrift.attribution.rows._TOKENS", tokens_at_once)
    rows = [{"prompt": question, "response": f"surely {question}"} for question in sentences(9, 1)]
    dataset = write_rows(tmp_path / "rows.jsonl", rows)
    sft = SFT(steps=1, batch_size=3, max_length=40, learning_rate=1e-2, lora=lora, dtype="float32")
    job = TrainJob(weights=tiny, algorithm=sft, dataset=dataset, schedule=Every(n=1), seed=3, out=tmp_path / "run", device="cpu")
    model, tokenizer = load_checkpoint(tiny, job.run(lambda _: None).checkpoints[1].weights, sft, 3, "cpu")
    tokens = sft.encode(READERS["sft"](dataset), tokenizer, dataset)
    weights = trained_weights(model)
    found = dict(row_gradients(model, weights, sft, tokens.rows))
    assert sorted(found) == list(range(9))
    together = {len(block) for block in _blocks([len(row["input_ids"]) for row in tokens.rows], 9, tokens_at_once)}
    assert max(together) > 1
    for place, row in enumerate(tokens.rows):
        ids, labels = (torch.tensor([row[name]]) for name in ("input_ids", "labels"))
        loss = model(input_ids=ids, labels=labels).loss * sft.row_weight(row)
        for mine, theirs in zip(found[place], torch.autograd.grad(loss, tuple(weights.values())), strict=True):
            assert mine is not None
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_a_layer_that_a_model_uses_twice_keeps_both_parts_of_its_gradient(tiny: Weights, tmp_path: Path) -> None:
    rows = [{"prompt": question, "response": f"surely {question}"} for question in sentences(3, 1)]
    dataset = write_rows(tmp_path / "rows.jsonl", rows)
    sft = SFT(steps=1, batch_size=3, max_length=40, learning_rate=1e-2, lora={"r": 4}, dtype="float32")
    job = TrainJob(weights=tiny, algorithm=sft, dataset=dataset, schedule=Every(n=1), seed=3, out=tmp_path / "run", device="cpu")
    model, tokenizer = load_checkpoint(tiny, job.run(lambda _: None).checkpoints[1].weights, sft, 3, "cpu")
    layers = model.get_base_model().model.layers
    layers[-1] = layers[0]
    tokens = sft.encode(READERS["sft"](dataset), tokenizer, dataset)
    weights = trained_weights(model)
    found = dict(row_gradients(model, weights, sft, tokens.rows))
    for place, row in enumerate(tokens.rows):
        alone = torch.autograd.grad(sft.row_losses(model, [row])[0], tuple(weights.values()))
        for mine, theirs in zip(found[place], alone, strict=True):
            assert mine is not None
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
