"""Sentence embeddings by an encoder of a local folder: mean of the last states, of length one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valuedrift.models.checking import check_model
from valuedrift.models.others import read_by_others
from valuedrift.models.resolve import resolve_model
from valuedrift.progress import Progress
from valuedrift.weights import folder_fingerprint

EMBEDDED = "embedded:minilm"
VERSION = 1
"""Raised whenever the same text would get another embedding; part of the cache key."""

_BATCH = 64
_TOKENS = 128


class Encoder:
    """An encoder in Hugging Face layout, read from safetensors.

    Args:
        model: ``embedded:minilm``, ``hf:ORG/NAME`` or a local folder.

    Raises:
        UserError: The model is not there or cannot be loaded as an encoder.
    """

    def __init__(self, model: str = EMBEDDED) -> None:
        self.model = model
        self._folder = resolve_model(model)
        self._loaded: tuple[Any, Any] | None = None

    def identity(self) -> dict[str, Any]:
        """What can change an embedding: weights and version."""
        return {"encoder": folder_fingerprint(self._folder), "version": VERSION}

    def encode(self, texts: Sequence[str], progress: Callable[[Progress], None] | None = None) -> NDArray[np.float32]:
        """Embeddings, shape (texts, width), each of length one; the same whatever the batch.

        Args:
            texts: Any texts; beyond 128 tokens they are cut.
            progress: Told how many are done.
        """
        import torch

        model, tokenizer = self._load()
        embeddings: list[NDArray[np.float32]] = [np.zeros(0, np.float32)] * len(texts)
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            batch = tokenizer([texts[index] for index in chosen], padding=True, truncation=True, max_length=_TOKENS, return_tensors="pt")
            with torch.inference_mode():
                states = model(**batch).last_hidden_state.float()
            mask = batch["attention_mask"].unsqueeze(-1).float()
            mean = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1).numpy()
            for index, row in zip(chosen, mean, strict=True):
                embeddings[index] = row
            if progress is not None:
                progress(Progress(min(start + _BATCH, len(order)), len(order)))
        return np.stack(embeddings) if embeddings else np.zeros((0, 1), np.float32)

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            self._loaded = _loaded(self._folder)
        return self._loaded


def _loaded(folder: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModel, AutoTokenizer

    check_model(folder, AutoModel, dtype=torch.float32)
    with read_by_others("not loadable as an encoder", folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        model = AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, local_files_only=True)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.eval(), tokenizer
