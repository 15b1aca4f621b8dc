"""An engine as lm-evaluation-harness asks for a model: tokens as its own wrapper of transformers makes them, numbers by the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lm_eval import utils
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import handle_stop_sequences, has_bos_prefix, normalize_gen_kwargs, postprocess_generated_text

from valuedrift.engines.continuing import Continues
from valuedrift.errors import DataError

_DEFAULT_CONTEXT = 2048
"""Tokens that a model takes whose config does not say: the harness's own assumption."""
_NEW_TOKENS = 256
"""Longest answer of a task that does not say: likewise."""


class EngineModel(TemplateLM):  # type: ignore[misc]  # the harness ships no types
    """An engine that holds a checkpoint.

    Args:
        engine: The engine.
        progress: Told how many requests are answered, of those of one kind.
    """

    def __init__(self, engine: Continues, progress: Callable[[int, int], None]) -> None:
        super().__init__()
        self._engine = engine
        self._progress = progress
        self.tokenizer = engine.tokenizer

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text of which every token is scored."""
        bos = self.tokenizer.bos_token_id
        return int(bos) if bos is not None else self.eot_token_id

    @property
    def max_length(self) -> int:
        """Tokens that the model can take."""
        return self._engine.context or _DEFAULT_CONTEXT

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Token ids of a text."""
        if add_special_tokens is None and has_bos_prefix(string, self.tokenizer.decode(self.prefix_token_id)):
            add_special_tokens = False
        told = {} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}
        return list(self.tokenizer.encode(string, **told))

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """See the harness's ``LM``."""
        return list(super().loglikelihood(requests, disable_tqdm=True))

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], disable_tqdm: bool = True, **_: Any
    ) -> list[tuple[float, bool]]:
        longest = self.max_length + 1
        pairs = []
        for (context, continuation), beginning, tokens in requests:
            if not tokens or len(tokens) > self.max_length:
                what = "has no tokens of its own" if not tokens else f"is longer than the model's context of {self.max_length} tokens"
                raise DataError(
                    f"the continuation {continuation[:80]!r} {what}", where=f"after {context[-80:]!r}", fix="leave this item out"
                )
            pairs.append((beginning[-(longest - len(tokens)) :], tokens))
        return [(one.logprob, one.greedy) for one in self._engine.continuations(pairs, self._progress)]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[float]:
        """See the harness's ``LM``."""
        windows: list[tuple[Any, list[int], list[int]]] = []
        counts = []
        for (text,) in [request.args for request in requests]:
            cut = utils.get_rolling_token_windows(
                token_list=self.tok_encode(text), prefix_token=self.prefix_token_id, max_seq_len=self.max_length, context_len=1
            )
            own = [(("", text), *window) for window in map(utils.make_disjoint_window, cut)]
            windows += own
            counts.append(len(own))
        scores = iter(self._loglikelihood_tokens(windows))
        return [sum(next(scores)[0] for _ in range(count)) for count in counts]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[str]:
        """See the harness's ``LM``: greedy answers, cut where the task says."""
        eos = self.tokenizer.decode([self.eot_token_id], skip_special_tokens=False)
        wanted: dict[int, list[int]] = {}
        stops, contexts = [], []
        for index, (context, told) in enumerate(request.args for request in requests):
            said = normalize_gen_kwargs(told, _NEW_TOKENS)
            most = int(said["max_gen_toks"])
            if most >= self.max_length:
                what = f"asks for answers of {most} tokens, and the model's context has {self.max_length}"
                raise DataError(what, where="capability", fix="another task, or a model with a longer context")
            stops.append(handle_stop_sequences(said.get("until"), eos=eos))
            contexts.append(self.tok_encode(context)[-(self.max_length - most) :])
            wanted.setdefault(most, []).append(index)
        answers = [""] * len(contexts)
        for most, which in wanted.items():
            for index, tokens in zip(which, self._engine.greedy([contexts[at] for at in which], most, self._progress), strict=True):
                text = self.tokenizer.decode(tokens, skip_special_tokens=True)
                answers[index] = postprocess_generated_text(text, stops[index], None)
        return answers
