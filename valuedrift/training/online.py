"""What online algorithms share: a reward model trained on the pairs, then a policy that answers their prompts and is paid by it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from valuedrift.errors import UserError
from valuedrift.training.algorithm import Referenced
from valuedrift.training.options import Optimisation

if TYPE_CHECKING:
    from pathlib import Path

    from valuedrift.progress import Progress
    from valuedrift.training.encode import Encoded, Tokens
    from valuedrift.training.keeper import Report
    from valuedrift.training.publishing import Publisher
    from valuedrift.training.rows import Preference
    from valuedrift.training.setup import Setup


class RewardModel(Optimisation):
    """The reward model: the same parent with a scalar head (Bradley–Terry), trained on the same pairs; low-rank where the policy is."""

    learning_rate: float = Field(default=1e-4, gt=0, description="Peak learning rate (TRL's default: 1e-4).")


class OnlineAlgorithm(Referenced):
    """An algorithm whose policy learns from answers of its own."""

    response_length: int = Field(ge=1, description="Tokens an answer may have at most.")
    temperature: float = Field(gt=0, description="Softmax temperature of the rollouts.")
    reward: RewardModel = Field(description="How the reward model is trained.")

    kind = "preference"
    data = "prompts of pairs; the pairs train the reward model"

    def encode(self, rows: Sequence[Preference], tokenizer: Any, path: Path) -> Tokens:
        """Pairs for the reward model, prompts for the policy, and a tokenizer that pads with neither.

        Answers are cut as short as the rollouts are: a reward model that never saw an unfinished answer would judge them by having no end.

        Raises:
            DataError: Too many prompts fill max_length.
            UserError: The tokenizer has no token to pad with.
        """
        from valuedrift.training.encode import Encoder, Tokens

        judged = Encoder(tokenizer, self.reward.max_length)
        pairs = judged.preferences(rows, path, answer_length=self.response_length)
        prompts = Encoder(tokenizer, self.max_length).prompts([row.prompt for row in rows], path, room=self.response_length)
        choose_padding(tokenizer, [ids for row in pairs for ids in row.values()] + [row["input_ids"] for row in prompts])
        return Tokens(pairs, judged.dropped, judged.cut, prompts)

    def check_processes(self, processes: int, sharded: bool = False) -> None:
        """See that several processes can share out its batches, and those of its reward model; each draws answers, so each holds the model."""
        super().check_processes(processes)
        if sharded:
            raise UserError(f"{self.type} draws answers, and a model in shares cannot", where="runtime.shard", fix="shard: false")
        self._check_share(self.reward.batch_size, "reward.batch_size", processes)

    def train(self, setup: Setup, tokens: Tokens, publisher: Publisher, progress: Callable[[Progress], None]) -> float | None:
        """Train a reward model on the pairs, then the policy on their prompts.

        Returns:
            The share of pairs that the reward model ranked rightly, late in its training.
        """
        from valuedrift.training.loop import step_report
        from valuedrift.training.reward import train_reward_model

        before = self.reward.total_steps(setup.rows)
        everything = before + setup.total
        reward, accuracy = train_reward_model(setup, tokens.rows, self.reward, before, step_report(progress, "reward model", everything))
        self.follow(setup, tokens.prompts, reward, publisher, step_report(progress, self.type, everything, before))
        return accuracy

    @abstractmethod
    def follow(self, setup: Setup, prompts: list[Encoded], reward: Any, publisher: Publisher, report: Report) -> None:
        """Train the policy to the end, resuming where a state is.

        Args:
            setup: The job.
            prompts: ``input_ids`` of each prompt.
            reward: The trained reward model.
            publisher: Makes checkpoints.
            report: Told of every step.
        """

    def _reward_tokens(self, rows: int | None) -> float:
        """Tokens that the reward model sees in its training."""
        steps = self.reward.steps if self.reward.steps is not None else self.reward.total_steps(rows or 0)
        return 2.0 * steps * self.reward.batch_size * self.reward.max_length


def choose_padding(tokenizer: Any, rows: list[list[int]]) -> None:
    """Make the tokenizer pad with a token that occurs in none of the rows.

    PPO and the reward model's head take every padding token for padding, wherever it stands. Chat models mostly pad with the token that
    ends a turn: their prompts would be read with holes, and no answer would ever be seen to end.

    Raises:
        UserError: All special tokens occur in the rows.
    """
    used = {token for row in rows for token in row} | {tokenizer.eos_token_id}
    special = [tokenizer.pad_token_id, *sorted(tokenizer.added_tokens_decoder)]
    spare = next((token for token in special if token is not None and token not in used), None)
    if spare is None:
        raise UserError(
            "a reward model needs a special token for padding that no prompt uses", where=str(tokenizer.name_or_path), fix="add a pad_token"
        )
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(spare)
    tokenizer.padding_side = "left"
