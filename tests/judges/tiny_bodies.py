"""Tiny encoders in Hugging Face layout with random weights, as `save_pretrained` writes them, and a model that reads from left to right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

_TEXT = "yes no i we think it is wrong right should be allowed banned of course never always good bad this that ? . ,"
_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "max_position_embeddings": 512}


def _of_bert(kind: Any, **sizes: Any) -> Callable[[int], Any]:
    return lambda vocabulary: kind(vocab_size=vocabulary, pad_token_id=0, **{**_SIZES, **sizes})


BODIES: dict[str, Callable[[int], Any]] = {
    "roberta": lambda vocabulary: transformers.RobertaConfig(vocab_size=vocabulary, **{**_SIZES, "max_position_embeddings": 514}),
    "deberta-v2": _of_bert(transformers.DebertaV2Config, relative_attention=True, pos_att_type=["p2c", "c2p"]),
    "modernbert": _of_bert(transformers.ModernBertConfig, bos_token_id=2, cls_token_id=2, eos_token_id=3, sep_token_id=3),
    "albert": _of_bert(transformers.AlbertConfig, embedding_size=16),
    "electra": _of_bert(transformers.ElectraConfig, embedding_size=16),
    "distilbert": lambda vocabulary: transformers.DistilBertConfig(
        vocab_size=vocabulary, dim=32, n_layers=2, n_heads=2, hidden_dim=48, pad_token_id=0
    ),
    "short": _of_bert(transformers.BertConfig, max_position_embeddings=64),
}
"""Configs by name, made for a number of tokens."""


def write_tokenizer(folder: Path, first: str, last: str, pad: str) -> int:
    """A tokenizer of whole words that puts two tokens around a text; returns its number of tokens."""
    words = [pad, "[UNK]", first, last, *_TEXT.split()]
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([pad, "[UNK]", first, last])
    if first != last:
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{first} $A {last}", special_tokens=[(first, 2), (last, 3)])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return len(words)


def write_body(folder: Path, kind: str = "roberta", *, with_head: bool = False) -> Path:
    """A tiny encoder; ``with_head``: as a hub has it, with a head for words that were masked out."""
    around = ("<s>", "</s>", "<pad>") if kind == "roberta" else ("[CLS]", "[SEP]", "[PAD]")
    config = BODIES[kind](write_tokenizer(folder, *around))
    torch.manual_seed(0)
    loader = transformers.AutoModelForMaskedLM if with_head else transformers.AutoModel
    loader.from_config(config).save_pretrained(folder)
    return folder


def write_decoder(folder: Path) -> Path:
    """A tiny model that reads from left to right, with a tokenizer like an encoder's."""
    vocabulary = write_tokenizer(folder, "<s>", "</s>", "<pad>")
    config = transformers.LlamaConfig(vocab_size=vocabulary, pad_token_id=0, **{**_SIZES, "num_key_value_heads": 2})
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder
