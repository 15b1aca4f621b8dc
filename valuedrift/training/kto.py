"""Kahneman–Tversky optimization through ``trl.KTOTrainer``."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from valuedrift.training.algorithm import Cost, OfflineAlgorithm

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor

    from valuedrift.training.keeper import Keeper
    from valuedrift.training.setup import Setup


class KTO(OfflineAlgorithm):
    """Kahneman–Tversky optimization (Ethayarajh et al. 2024): from answers labelled good or bad, without pairs.

    z, the KL to the reference, is estimated on each prompt of a batch with another's answer, over the whole batch, however little of it is in
    memory at once.
    """

    type: Literal["kto"] = Field(default="kto", description="Algorithm.")
    learning_rate: float = Field(default=1e-6, gt=0, description="Peak learning rate (TRL's default: 1e-6; the KTO paper: 5e-7 to 5e-6).")
    batch_size: int = Field(
        default=8, ge=2, description="Answers a step (TRL's default: 8); at least 2, since each is set against another."
    )
    beta: float = Field(default=0.1, gt=0, description="β: price of leaving the reference, the parent (KTO paper and TRL: 0.1).")
    desirable_weight: float = Field(default=1.0, gt=0, description="Weight of answers labelled true (TRL's default: 1).")
    undesirable_weight: float = Field(default=1.0, gt=0, description="Weight of answers labelled false (TRL's default: 1).")

    title = "KTO"
    loss = "E w(y) (1 − σ(±β (log π(y)/π_ref(y) − z))), z = max(0, E log π(y′)/π_ref(y′)), + for answers labelled true, y′ another prompt's"
    data = "answers labelled true or false; or pairs, each taken as two"
    when = "labels of single answers (thumbs up, thumbs down), or many more of one label"
    kind = "labelled"
    reference = True

    def cost(self, steps: int, rows: int | None) -> Cost:
        """Two more forwards, of policy and reference, for z."""
        plain = super().cost(steps, rows)
        return Cost(plain.tokens, plain.flops + 4.0 * plain.tokens)

    def trainer(self, setup: Setup, data: Dataset, keeper: Keeper) -> Any:
        """TRL's, on rows that are tokens already."""
        from trl import KTOConfig

        policy = setup.load_policy()
        config = KTOConfig(
            **setup.policy_arguments(),
            loss_type="apo_zero_unpaired",  # for TRL that is KTO without z, which ours estimates over the batch and not over what is in memory
            beta=self.beta,
            desirable_weight=self.desirable_weight,
            undesirable_weight=self.undesirable_weight,
            max_length=None,
        )
        return trainer_class()(
            model=policy,
            ref_model=setup.reference(policy),
            args=config,
            train_dataset=data,
            processing_class=setup.tokenizer,
            peft_config=setup.lora(self.lora),
            callbacks=[keeper],
        )


def answer_losses(ratios: Tensor, desirable: Tensor, kl: Tensor, beta: float, weights: tuple[float, float]) -> Tensor:
    """The loss of each answer.

    Args:
        ratios: log π/π_ref of each answer, shape (answers,).
        desirable: Whether each is labelled true, same shape.
        kl: z, a number.
        beta: β.
        weights: Of answers labelled true, and of those labelled false.
    """
    import torch

    gains = torch.where(desirable, ratios - kl, kl - ratios)
    return torch.where(desirable, *weights) * (1 - torch.sigmoid(beta * gains))


@cache
def trainer_class() -> Any:
    """TRL's trainer, on rows that are tokens already, with logits for answers only, and z over the whole batch."""
    import torch
    from trl import KTOTrainer

    from valuedrift.training.logps import pair_logps, reference_logps
    from valuedrift.training.loop import Resumable

    class Trainer(Resumable, KTOTrainer):  # type: ignore[misc] # trl is followed as Any
        def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return dataset

        def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[dict[str, Any]], Any]:
            """The parts of a batch that are in memory one after the other, each with what is known of the whole."""
            parts, counted = super().get_batch_samples(*args, **kwargs)
            parts = [self._prepare_inputs(part) for part in parts]
            return self.with_whole(parts) if parts else parts, counted

        def with_whole(self, parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
            """The parts of a batch, each with what is known of the whole."""
            labels = torch.cat([part["label"] for part in parts]).bool()
            whole = {"kl": self.divergence(parts), "share": (len(parts) / labels.sum(), len(parts) / (~labels).sum())}
            return [part | whole for part in parts]

        def as_whole_batch(self, inputs: dict[str, Any]) -> dict[str, Any]:
            return self.with_whole([inputs])[0]

        def divergence(self, parts: list[dict[str, Any]]) -> Tensor:
            """Z of a batch: the mean log π/π_ref of answers to others' prompts, 0 at least."""
            rows = [row for part in parts for row in self.rows(part)]
            size = len(parts[0]["label"])
            mismatched = [{**row, "completion_ids": rows[at - 1]["completion_ids"]} for at, row in enumerate(rows)]
            ratios = []
            with torch.no_grad(), self.compute_loss_context_manager():
                for start in range(0, len(mismatched), size):
                    inputs = self._prepare_inputs(self.data_collator(mismatched[start : start + size]))
                    ratios.append(self.ratios(self.model_wrapped, inputs))
            return torch.cat(ratios).mean().clamp(min=0)

        def rows(self, part: dict[str, Any]) -> list[dict[str, Any]]:
            """The rows of a padded batch."""
            answers = part["completion_mask"].bool()
            prompts = part["attention_mask"].bool() & ~answers
            return [
                {"prompt_ids": ids[prompt].tolist(), "completion_ids": ids[answer].tolist(), "label": bool(label)}
                for ids, prompt, answer, label in zip(part["input_ids"], prompts, answers, part["label"], strict=True)
            ]

        def ratios(self, model: Any, inputs: dict[str, Any]) -> Tensor:
            """Log π/π_ref of each answer of a batch."""
            logps, _ = pair_logps(model, inputs)
            reference, _ = reference_logps(self, model, lambda anchor: pair_logps(anchor, inputs))
            return logps - reference

        def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
            desirable, kl = inputs["label"].bool(), inputs["kl"]
            ratios = self.ratios(model, inputs)
            rewards = self.beta * ratios.detach()
            # each part's share of the batch's means: TRL takes the mean over the parts, and a part may hold answers of one label only
            chosen, rejected = (rewards[side].sum() * share for side, share in zip((desirable, ~desirable), inputs["share"], strict=True))
            means = {"kl": kl, "rewards/chosen": chosen, "rewards/rejected": rejected, "rewards/margins": chosen - rejected}
            for name, value in means.items():
                if value.isfinite():  # a batch may hold answers of one label only, too
                    self._metrics["train"][name].append(value.item())
            weights = self.desirable_weight, self.undesirable_weight
            return answer_losses(ratios, desirable, kl, self.beta, weights).mean()

    return Trainer
