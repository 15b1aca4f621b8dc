"""Kahneman–Tversky optimization through ``trl.KTOTrainer``."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from valuedrift.training.algorithm import Cost, OfflineAlgorithm, Referenced

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor

    from valuedrift.training.keeper import Keeper
    from valuedrift.training.setup import Setup


class KTO(Referenced, OfflineAlgorithm):
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
            ref_model=setup.reference(policy, self.reference_dtype),
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
    from valuedrift.training.processes import everyones, rank

    class Trainer(Resumable, KTOTrainer):  # type: ignore[misc] # trl is followed as Any
        def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return dataset

        def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[dict[str, Any]], Any]:
            """The parts of a batch that are in memory one after the other, each with what is known of the whole."""
            parts, counted = super().get_batch_samples(*args, **kwargs)
            parts = [self._prepare_inputs(part) for part in parts]
            return self.with_whole(parts) if parts else parts, counted

        def with_whole(self, parts: list[dict[str, Any]], shared: bool = True) -> list[dict[str, Any]]:
            """The parts of a batch, each with what is known of the whole.

            Args:
                parts: Those that this process has.
                shared: Whether the others have the other parts, which were dealt out in turns; else these are all.
            """
            own = [self.rows(part) for part in parts]
            dealt = everyones(own) if shared else [own]
            rows = [row for turn in zip(*dealt, strict=True) for part in turn for row in part]
            size = len(own[0])
            mine = [at for at in range(len(rows)) if at // size % len(dealt) == (rank() if shared else 0)]
            ratios = self.mismatched([{**rows[at], "completion_ids": rows[at - 1]["completion_ids"]} for at in mine], size)
            if len(dealt) > 1:
                ratios = torch.cat(everyones(ratios.cpu())).to(ratios.device)
            good = torch.tensor(sum(row["label"] for row in rows))
            n_parts = len(parts) * len(dealt)
            whole = {"kl": ratios.mean().clamp(min=0), "share": (n_parts / good, n_parts / (len(rows) - good))}
            return [part | whole for part in parts]

        def parts_of(self, parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return self.with_whole(parts, shared=False)

        def mismatched(self, rows: list[dict[str, Any]], size: int) -> Tensor:
            """Log π/π_ref of answers to others' prompts, so many rows at once: their mean, 0 at least, is z."""
            ratios = []
            with torch.no_grad(), self.compute_loss_context_manager():
                for start in range(0, len(rows), size):
                    inputs = self._prepare_inputs(self.data_collator(rows[start : start + size]))
                    ratios.append(self.ratios(self.model_wrapped, inputs))
            return torch.cat(ratios)

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
