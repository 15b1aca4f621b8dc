"""Group relative policy optimization through ``trl.GRPOTrainer``, with a reward model trained on the same pairs.

TRL's trainer draws the answers of a step in its loop. Each step makes one batch of them, learns from it once and keeps nothing for the next, and its
random numbers are a function of seed and step: so a run resumes at any step with the answers that an undisturbed one would have drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from valuedrift.training.algorithm import Cost
from valuedrift.training.online import OnlineAlgorithm
from valuedrift.training.options import steps_of

if TYPE_CHECKING:
    from datasets import Dataset

    from valuedrift.training.encode import Encoded
    from valuedrift.training.keeper import Keeper, Report
    from valuedrift.training.publishing import Publisher
    from valuedrift.training.setup import Setup

Reward = Callable[..., list[float]]
"""What pays for answers, as TRL calls it: by ``prompts`` and ``completion_ids``, both lists of tokens."""


class GRPO(OnlineAlgorithm):
    """Group relative policy optimization (Shao et al. 2024): an answer is paid by how far it beats the others to its prompt.

    One update a batch of answers, so that the ratio to the policy that drew them is 1 and nothing is clipped.
    """

    type: Literal["grpo"] = Field(default="grpo", description="Algorithm.")
    learning_rate: float = Field(default=1e-6, gt=0, description="Peak learning rate (TRL's default and the GRPO paper: 1e-6).")
    batch_size: int = Field(default=8, ge=2, description="Answers a step, a multiple of `generations` (TRL's default: 8).")
    generations: int = Field(default=8, ge=2, description="Answers a prompt (TRL's default: 8; the GRPO paper: 64).")
    kl_coefficient: float = Field(
        default=0.04, ge=0, description="β: price of a nat of KL to the parent, a token (the GRPO paper: 0.04; TRL's default: 0)."
    )
    response_length: int = Field(default=256, ge=1, description="Tokens an answer may have at most (TRL's default: 256).")
    temperature: float = Field(default=1.0, gt=0, description="Softmax temperature of the rollouts (TRL's default: 1).")

    title = "GRPO"
    loss = "−E 1/|y| Σ (Â π(y_t)/π_answered(y_t) − β KL(π‖π_ref)), Â = (r(x,y) − mean)/(standard deviation + 10⁻⁴) of the answers to x"
    when = "as PPO, without a value model: several answers a prompt tell what is usual"

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        if self.batch_size % self.generations:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of generations {self.generations}")
        return self

    def total_steps(self, n_rows: int) -> int:
        """Optimizer steps; a pass over the data puts every prompt once, with ``generations`` answers."""
        if self.steps is not None or self.epochs is None:
            return super().total_steps(n_rows)
        return steps_of(self.epochs * n_rows * self.generations / self.batch_size, f"{self.epochs:g} epochs of {n_rows} prompts")

    def cost(self, steps: int, rows: int | None) -> Cost:
        """Rollout, reference and reward forwards; then one pass forward and backward."""
        tokens = float(steps * self.batch_size) * min(self.max_length, 64 + self.response_length)
        reward = self._reward_tokens(rows)
        return Cost(tokens + reward, tokens * (6.0 + self._learning()) + reward * self._learning())

    def weight_bytes(self) -> float:
        """Also the reward model."""
        return super().weight_bytes() + 4.0

    def follow(self, setup: Setup, prompts: list[Encoded], reward: Any, publisher: Publisher, report: Report) -> None:
        """Train the policy, resuming where a state is."""
        from valuedrift.training.folder import POLICY
        from valuedrift.training.loop import run_trainer

        data = setup.ordered([{"prompt": row["input_ids"]} for row in prompts], self.batch_size // self.generations, setup.total)
        run_trainer(
            lambda keeper: self.online_trainer(setup, data, keeper, payer(reward, setup.tokenizer.pad_token_id)),
            setup.folder,
            model=POLICY,
            seed=setup.seed,
            total=setup.total,
            publisher=publisher,
            report=report,
        )

    def online_trainer(self, setup: Setup, data: Dataset, keeper: Keeper, reward: Reward) -> Any:
        """TRL's, on prompts that are tokens already.

        Args:
            setup: The job.
            data: Prompts in order.
            keeper: Saves.
            reward: Pays for answers.
        """
        from trl import GRPOConfig

        config = GRPOConfig(
            **setup.policy_arguments(),
            num_generations=self.generations,
            max_completion_length=self.response_length,
            temperature=self.temperature,
            beta=0.0,  # else TRL would load the reference from a path, which a merged stack does not have
            loss_type="grpo",
            scale_rewards="group",
            shuffle_dataset=False,
        )
        policy = setup.load_policy()
        reference = setup.reference(policy, self.reference_dtype) if self.kl_coefficient else None
        trainer = trainer_class()(
            model=policy,
            reward_funcs=[reward],
            args=config,
            train_dataset=data,
            processing_class=setup.tokenizer,
            peft_config=setup.lora(self.lora),
            callbacks=[keeper, seeder(setup.seed)],
        )
        trainer.beta = self.kl_coefficient
        if reference is not None:
            trainer.ref_model = trainer.accelerator.prepare_model(reference, evaluation_mode=True)
        return trainer


def payer(model: Any, pad_token_id: int) -> Reward:
    """A reward model as what pays for answers.

    Args:
        model: A model with a scalar head.
        pad_token_id: What it takes for padding.
    """
    import torch

    def reward(prompts: list[list[int]], completion_ids: list[list[int]], **_: Any) -> list[float]:
        rows = [torch.tensor(prompt + answer) for prompt, answer in zip(prompts, completion_ids, strict=True)]
        device = next(model.parameters()).device
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad_token_id).to(device)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True).to(device)
        with torch.no_grad():
            return [float(score) for score in model(input_ids=ids, attention_mask=mask).logits[:, 0]]

    return reward


@cache
def trainer_class() -> Any:
    """TRL's trainer, on prompts that are tokens already."""
    from trl import GRPOTrainer

    from valuedrift.training.loop import Resumable

    class Trainer(Resumable, GRPOTrainer):  # type: ignore[misc] # trl is followed as Any
        def _tokenize_prompts(self, prompts: list[list[int]]) -> tuple[list[list[int]], None, dict[str, Any]]:
            return prompts, None, {}

    return Trainer


def seeder(seed: int) -> Any:
    """A callback that makes the draws of each step a function of seed and step."""
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

    from valuedrift.training.loop import seed_rollouts

    class Seeder(TrainerCallback):  # type: ignore[misc] # transformers is followed as Any
        def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
            seed_rollouts(seed, state.global_step)

    return Seeder()
