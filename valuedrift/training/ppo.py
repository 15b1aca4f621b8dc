"""Proximal policy optimization through ``trl.experimental.ppo``, with a reward model trained on the same pairs.

TRL's PPO trainer has its own loop, which cannot resume. It takes its batches from ``self.dataloader``, though, and calls ``on_train_begin`` before
its first step: so ours gives it the batches that are left, and sets policy, value model, optimizer, scheduler and random numbers back there.
"""

from __future__ import annotations

import copy
import gc
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from valuedrift.errors import UserError
from valuedrift.training.algorithm import Cost
from valuedrift.training.online import OnlineAlgorithm

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import TrainerControl, TrainerState, TrainingArguments

    from valuedrift.training.encode import Encoded
    from valuedrift.training.keeper import Report
    from valuedrift.training.publishing import Publisher
    from valuedrift.training.setup import Setup

_VALUE_WEIGHT = 0.1
"""Weight of the value loss beside the policy's (TRL's default)."""


class PPO(OnlineAlgorithm):
    """Proximal policy optimization (Schulman et al. 2017), r a learned reward (Ziegler et al. 2019)."""

    type: Literal["ppo"] = Field(default="ppo", description="Algorithm.")
    learning_rate: float = Field(default=3e-6, gt=0, description="Peak rate of policy and value model (TRL's default: 3e-6).")
    kl_coefficient: float = Field(default=0.05, ge=0, description="β: price of a nat of KL to the parent (TRL's default: 0.05).")
    response_length: int = Field(default=53, ge=1, description="Tokens an answer may have at most (TRL's default: 53).")
    temperature: float = Field(default=0.7, gt=0, description="Softmax temperature of the rollouts (TRL's default: 0.7).")
    ppo_epochs: int = Field(default=4, ge=1, description="Passes over a batch of episodes (TRL's default: 4).")
    mini_batches: int = Field(default=1, ge=1, description="Updates a pass; divides batch_size (TRL's default: 1).")

    title = "PPO"
    loss = "−E r(x,y) + β KL(π‖π_ref), by clipped ratios of π to the π that answered"
    when = "a policy that learns from answers of its own, with a value model"

    @model_validator(mode="after")
    def _whole_mini_batches(self) -> Self:
        if self.batch_size % self.mini_batches:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of mini_batches {self.mini_batches}")
        return self

    def check_processes(self, processes: int, sharded: bool = False) -> None:
        """See that one process is asked for: TRL's loop takes means and variances of each process's own episodes."""
        if processes > 1:
            raise UserError("ppo is trained by one process", where="runtime.processes", fix="processes: 1, or type: grpo")

    def cost(self, steps: int, rows: int | None) -> Cost:
        """Rollout, reference, reward and value forwards; then ``ppo_epochs`` of policy and value, forward and backward."""
        tokens = float(steps * self.batch_size) * min(self.max_length, 64 + self.response_length)
        reward = self._reward_tokens(rows)
        return Cost(tokens + reward, tokens * (8.0 + self.ppo_epochs * 2 * self._learning()) + reward * self._learning())

    def weight_bytes(self) -> float:
        """Also a value model that is trained beside the policy, and the reward model."""
        return super().weight_bytes() + self._trained_bytes() + 4.0

    def follow(self, setup: Setup, prompts: list[Encoded], reward: Any, publisher: Publisher, report: Report) -> None:
        """Train policy and value model, resuming where a state is."""
        from valuedrift.training.folder import POLICY
        from valuedrift.training.loop import fresh_start

        step, state = setup.folder.resume_point(POLICY)
        setup.folder.forget_after(step)
        if step < setup.total:
            keeper = keeper_class()(setup.folder, POLICY, report, publisher)
            keeper.start, keeper.seed = (step, state), setup.seed
            fresh_start(setup.seed)
            keeper.trainer = _build(setup, self, reward, prompts, keeper)
            keeper.trainer.feed(step)
            _run(keeper.trainer, setup)


@cache
def trainer_class() -> Any:
    """TRL's trainer, with batches in our order and a state to resume from."""
    import torch
    from torch.utils.data import DataLoader, SequentialSampler
    from trl.experimental.ppo import PPOTrainer

    from valuedrift.training.state import load_state, save_state

    class Trainer(PPOTrainer):  # type: ignore[misc] # trl is followed as Any
        def trained(self) -> dict[str, Tensor]:
            """What is trained of policy and value model, by name."""
            return {name: weight for name, weight in self.accelerator.unwrap_model(self.model).named_parameters() if weight.requires_grad}

        def feed(self, step: int) -> None:
            """Give the loop the batches that are left after a step, in our order; to be called before the loop begins."""
            rows = self.train_dataset.select(range(step * self.args.batch_size, len(self.train_dataset)))
            # a generator of its own: opening a loader draws a seed, and must not move the random numbers of the rollouts
            loader = DataLoader(
                rows,
                batch_size=self.args.local_batch_size,
                sampler=SequentialSampler(rows),
                collate_fn=self.data_collator,
                generator=torch.Generator(),
            )
            self.dataloader = self.accelerator.prepare(loader)

        def set_back(self, step: int, state: Path) -> None:
            """Make the loop, which has just begun, one that has taken these steps."""
            self.args.num_total_batches -= step
            self.state.global_step = step
            self.state.episode = step * self.args.batch_size
            load_state(state, self.trained(), self.optimizer, self.lr_scheduler)

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            """TRL's own fails with the transformers that it asks for, and leaves out the value model."""
            folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            self.accelerator.unwrap_model(self.model).policy.save_pretrained(folder)
            save_state(folder, self.trained(), self.optimizer, self.lr_scheduler)

    return Trainer


@cache
def keeper_class() -> Any:
    """Starts the loop where it was, and makes the draws of each step a function of seed and step."""
    from valuedrift.training.keeper import Keeper
    from valuedrift.training.loop import seed_rollouts

    class PPOKeeper(Keeper):
        trainer: Any
        start: tuple[int, Path | None] = (0, None)
        seed: int = 0

        def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
            """Set everything back before the first step."""
            step, saved = self.start
            if saved is not None:
                self.trainer.set_back(step, saved)
            self._seed(state.global_step)

        def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
            """Ask for a save where one is due; seed the next step."""
            self._seed(state.global_step)
            return super().on_step_end(args, state, control, **kwargs)

        def on_log(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float], **kwargs: Any
        ) -> None:
            """Keep the step's row, with the loss that is optimized."""
            if "loss/policy_avg" in logs:
                logs = {**logs, "loss": logs["loss/policy_avg"] + _VALUE_WEIGHT * logs["loss/value_avg"]}
            super().on_log(args, state, control, logs, **kwargs)

        def _seed(self, step: int) -> None:
            seed_rollouts(self.seed, step)

    return PPOKeeper


def _run(trainer: Any, setup: Setup) -> None:
    """Run TRL's loop, which calls its models outside accelerate's autocast."""
    import torch

    # full weights are held in float32 and need one; without a cache, since a cached copy of a weight would outlive the optimizer's step
    wanted = setup.bf16 and setup.options.lora is None
    gc.freeze()  # the loop collects garbage twice a step; what is there by now need not be looked through each time
    try:
        with torch.autocast(setup.device, dtype=torch.bfloat16, enabled=wanted, cache_enabled=False):
            trainer.train()
    finally:
        gc.unfreeze()


def _build(setup: Setup, algorithm: PPO, reward: Any, prompts: list[Encoded], keeper: Any) -> Any:
    from peft import inject_adapter_in_model
    from transformers import DataCollatorWithPadding
    from trl.experimental.ppo import PPOConfig

    arguments = setup.policy_arguments()
    group = algorithm.batch_size // algorithm.mini_batches
    micro = setup.micro_batch(group)
    arguments |= {"per_device_train_batch_size": micro, "gradient_accumulation_steps": algorithm.batch_size // micro, "bf16": False}
    config = PPOConfig(
        **arguments,
        total_episodes=setup.total * algorithm.batch_size,
        num_ppo_epochs=algorithm.ppo_epochs,
        num_mini_batches=algorithm.mini_batches,
        kl_coef=algorithm.kl_coefficient,
        response_length=algorithm.response_length,
        temperature=algorithm.temperature,
        local_rollout_forward_batch_size=algorithm.batch_size,
        num_sample_generations=0,
        stop_token="eos",
        vf_coef=_VALUE_WEIGHT,
    )
    policy = setup.load_policy()
    reference = setup.reference(policy, algorithm.reference_dtype)
    # logits in float32 whatever the weights are: the ratio of new to old probabilities is all that PPO sees
    for model in (policy, reference):
        if model is not None:
            model.get_output_embeddings().register_forward_hook(lambda module, inputs, logits: logits.float())
    value = copy.deepcopy(reward)
    if (adapters := setup.lora(algorithm.lora, head=True)) is not None:
        inject_adapter_in_model(adapters, value)
        value.score.requires_grad_(True)
        for weight in value.parameters():
            if weight.requires_grad:
                weight.data = weight.data.float()
    trainer = trainer_class()(
        args=config,
        processing_class=setup.tokenizer,
        model=policy,
        ref_model=reference,
        reward_model=reward,
        value_model=value,
        train_dataset=setup.ordered(prompts, algorithm.batch_size, setup.total),
        data_collator=DataCollatorWithPadding(setup.tokenizer),
        peft_config=setup.lora(algorithm.lora),
        callbacks=[keeper],
    )
    # TRL accumulates over a whole batch, also where it is to make several updates
    trainer.accelerator.gradient_accumulation_steps = group // micro
    return trainer
