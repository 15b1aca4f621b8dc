"""Proximal policy optimization through ``trl.experimental.ppo``, with a reward model trained on the same pairs.

TRL's PPO trainer has its own loop, which cannot resume. It takes its batches from ``self.dataloader``, though, and calls ``on_train_begin`` before
its first step: so ours gives it the batches that are left, and sets policy, value model, optimizer, scheduler and random numbers back there.
"""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import inject_adapter_in_model
from torch import Tensor
from torch.utils.data import DataLoader, SequentialSampler
from transformers import DataCollatorWithPadding, TrainerControl, TrainerState, TrainingArguments, set_seed
from trl.experimental.ppo import PPOConfig, PPOTrainer

from valuedrift.errors import UserError
from valuedrift.fingerprint import seed_from
from valuedrift.progress import Progress
from valuedrift.training.algorithms import PPO
from valuedrift.training.encode import Encoded, Encoder, Tokens
from valuedrift.training.job import TrainJob
from valuedrift.training.keeper import Keeper, Publisher
from valuedrift.training.loop import POLICY, step_report
from valuedrift.training.reward import train_reward_model
from valuedrift.training.rows import Preference
from valuedrift.training.setup import Setup, fresh_start
from valuedrift.training.state import load_state, save_state

_VALUE_WEIGHT = 0.1
"""Weight of the value loss beside the policy's (TRL's default)."""


class _Trainer(PPOTrainer):  # type: ignore[misc] # trl is followed as Any
    """TRL's, with batches in our order and a state to resume from."""

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


class _Keeper(Keeper):
    """Starts the loop where it was, and makes the draws of each step a function of seed and step."""

    trainer: _Trainer
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

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float], **kwargs: Any) -> None:
        """Keep the step's row, with the loss that is optimized."""
        if "loss/policy_avg" in logs:
            logs = {**logs, "loss": logs["loss/policy_avg"] + _VALUE_WEIGHT * logs["loss/value_avg"]}
        super().on_log(args, state, control, logs, **kwargs)

    def _seed(self, step: int) -> None:
        set_seed(seed_from("rollouts", self.seed, step) % 2**32)


def encode(job: TrainJob, tokenizer: Any, rows: Sequence[Preference]) -> Tokens:
    """Pairs for the reward model, prompts for the policy, and a tokenizer that pads with neither.

    Answers are cut as short as the rollouts are: a reward model that never saw an unfinished answer would judge them by having no end.

    Raises:
        DataError: Too many prompts fill max_length.
        UserError: The tokenizer has no token to pad with.
    """
    algorithm = job.algorithm
    assert isinstance(algorithm, PPO)
    judged = Encoder(tokenizer, algorithm.reward.max_length)
    pairs = judged.preferences(rows, job.dataset, answer_length=algorithm.response_length)
    prompts = Encoder(tokenizer, algorithm.max_length).prompts([row.prompt for row in rows], job.dataset, room=algorithm.response_length)
    choose_padding(tokenizer, [ids for row in pairs for ids in row.values()] + [row["input_ids"] for row in prompts])
    return Tokens(pairs, judged.dropped, judged.cut, prompts)


def train(setup: Setup, tokens: Tokens, publisher: Publisher, progress: Callable[[Progress], None]) -> float | None:
    """Train a reward model on the pairs, then the policy on their prompts.

    Returns:
        The share of pairs that the reward model ranked rightly, late in its training.
    """
    algorithm = setup.job.algorithm
    assert isinstance(algorithm, PPO)
    before = algorithm.reward.total_steps(setup.rows)
    everything = before + setup.total
    reward, accuracy = train_reward_model(setup, tokens.rows, before, step_report(progress, "reward model", everything))
    step, state = setup.folder.resume_point(POLICY)
    setup.folder.forget_after(step)
    if step < setup.total:
        keeper = _Keeper(setup.folder, POLICY, step_report(progress, "ppo", everything, before), publisher)
        keeper.start, keeper.seed = (step, state), setup.job.seed
        fresh_start(setup.job.seed)
        keeper.trainer = _build(setup, algorithm, reward, tokens.prompts, keeper)
        keeper.trainer.feed(step)
        _run(keeper.trainer, setup)
    return accuracy


def _run(trainer: _Trainer, setup: Setup) -> None:
    """Run TRL's loop, which calls its models outside accelerate's autocast."""
    # full weights are held in float32 and need one; without a cache, since a cached copy of a weight would outlive the optimizer's step
    wanted = setup.bf16 and setup.job.algorithm.lora is None
    gc.freeze()  # the loop collects garbage twice a step; what is there by now need not be looked through each time
    try:
        with torch.autocast(setup.device, dtype=torch.bfloat16, enabled=wanted, cache_enabled=False):
            trainer.train()
    finally:
        gc.unfreeze()


def _build(setup: Setup, algorithm: PPO, reward: Any, prompts: list[Encoded], keeper: _Keeper) -> _Trainer:
    arguments = setup.arguments(POLICY, algorithm, setup.total)
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
    reference = copy.deepcopy(policy) if algorithm.lora is None else None
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
    trainer = _Trainer(
        args=config,
        processing_class=setup.tokenizer,
        model=policy,
        ref_model=reference,
        reward_model=reward,
        value_model=value,
        train_dataset=setup.ordered(prompts, algorithm, setup.total),
        data_collator=DataCollatorWithPadding(setup.tokenizer),
        peft_config=setup.lora(algorithm.lora),
        callbacks=[keeper],
    )
    # TRL accumulates over a whole batch, also where it is to make several updates
    trainer.accelerator.gradient_accumulation_steps = group // micro
    return trainer


def choose_padding(tokenizer: Any, rows: list[list[int]]) -> None:
    """Make the tokenizer pad with a token that occurs in none of the rows.

    TRL's PPO takes every padding token for padding, wherever it stands. Chat models mostly pad with the token that ends a turn: their prompts would be
    read with holes, and no answer would ever be seen to end.

    Raises:
        UserError: All special tokens occur in the rows.
    """
    used = {token for row in rows for token in row} | {tokenizer.eos_token_id}
    special = [tokenizer.pad_token_id, *sorted(tokenizer.added_tokens_decoder)]
    spare = next((token for token in special if token is not None and token not in used), None)
    if spare is None:
        raise UserError(
            "PPO needs a special token for padding that no prompt uses", where=str(tokenizer.name_or_path), fix="add a pad_token"
        )
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(spare)
    tokenizer.padding_side = "left"
