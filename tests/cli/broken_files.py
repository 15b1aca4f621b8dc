"""What may be wrong with a file, a study, an option, a root or a model folder: each a name and what makes it."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import polars as pl

Make = Callable[[Path], object]


def _bytes(content: bytes) -> Make:
    return lambda path: path.write_bytes(content)


def _parquet(frame: pl.DataFrame, keep: float = 1.0) -> Make:
    def make(path: Path) -> None:
        frame.write_parquet(path)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * keep)])

    return make


ANY_FILE: Mapping[str, Make] = {
    "absent": lambda path: None,
    "empty": _bytes(b""),
    "blank": _bytes(b" \n\n\t\n"),
    "zeros": _bytes(b"\0" * 64),
    "binary": _bytes(bytes(range(256)) * 8),
    "latin-1": _bytes("prompt: \xe9t\xe9\n".encode("latin-1")),
    "utf-16": _bytes('{"prompt": "a", "response": "b"}\n'.encode("utf-16")),
    "a web page": _bytes(b"<!DOCTYPE html>\n<html><body>404: not found</body></html>\n"),
    "open brackets": _bytes(b"[" * 5000),
    "closed brackets": _bytes(b"[" * 5000 + b"]" * 5000),
    "open braces": _bytes(b'{"a":' * 5000),
    "list": _bytes(b"[]"),
    "number": _bytes(b"42\n"),
    "nothing": _bytes(b"null\n"),
    "a folder": lambda path: path.mkdir(),
    "a link to itself": lambda path: path.symlink_to(path),
    "cut-off zip": _bytes(gzip.compress(b'{"prompt": "a"}\n' * 100)[:40]),
}
"""No command can use any of them, whatever its name ends in."""
PARQUET: Mapping[str, Make] = {
    "no rows": _parquet(pl.DataFrame({"prompt": [], "response": []}, schema={"prompt": pl.String, "response": pl.String})),
    "no columns": _parquet(pl.DataFrame()),
    "other columns": _parquet(pl.DataFrame({"x": [1, 2], "y": [None, "z"]})),
    "cut off": _parquet(pl.DataFrame({"prompt": ["a"] * 500}), keep=0.6),
    "marks only": _bytes(b"PAR1PAR1"),
    "CSV inside": _bytes(b"prompt,response\na,b\n"),
}
LINES: Mapping[str, Make] = {
    "cut-off line": _bytes(b'{"prompt": "a", "response": "b"}\n{"prompt": "a", "resp'),
    "lists": _bytes(b'["a", "b"]\n["c", "d"]\n'),
    "other keys": _bytes(b'{"x": 1}\n{"y": null}\n'),
    "numbers": _bytes(b'{"prompt": 1, "response": 2, "stance": 3, "chosen": 4, "rejected": 5, "messages": 6}\n'),
    "nulls": _bytes(b'{"prompt": null, "response": null, "messages": null, "chosen": null, "rejected": null, "stance": null}\n'),
    "NaN": _bytes(b'{"prompt": NaN, "response": Infinity, "messages": NaN}\n'),
    "huge number": _bytes(b'{"prompt": ' + b"9" * 5000 + b', "response": 1e999}\n'),
    "half a surrogate": _bytes(b'{"prompt": "\\ud800", "response": ["\\udfff"]}\n'),
    "nested row": _bytes(b'{"prompt": ' + b"[" * 3000 + b"]" * 3000 + b"}\n"),
}
CSV: Mapping[str, Make] = {
    "header only": _bytes(b"prompt,response,stance\n"),
    "doubled column": _bytes(b"prompt,prompt,response\na,b,c\n"),
    "too many cells": _bytes(b"prompt,response\na,b,c,d\n"),
    "open quote": _bytes(b'prompt,response\n"a,b\n'),
    "other columns": _bytes(b"x,y\n1,2\n"),
    "no header": _bytes(b",,\n1,2,3\n"),
    "NUL": _bytes(b"prompt,response\na\0b,c\n"),
}
YAML: Mapping[str, Make] = {
    "text": _bytes(b"just a text\n"),
    "tabs": _bytes(b"study: x\n\tmodels: {}\n"),
    "doubled key": _bytes(b"study: a\nstudy: b\n"),
    "open flow": _bytes(b"study: {a: [1, 2\n"),
    "an object": _bytes(b"!!python/object/apply:os.system ['true']\n"),
    "holds itself": _bytes(b"a: &a [*a]\n"),
    "billion laughs": _bytes(
        b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(f"{after}: &{after} [{f'*{before},' * 9}]\n".encode() for before, after in pairwise("abcdefghij"))
    ),
    "two documents": _bytes(b"study: a\n---\nstudy: b\n"),
    "unknown keys": _bytes(b"studdy: a\nmodles: {}\n"),
    "list of keys": _bytes(b"- study: a\n- models: {}\n"),
    "deep": _bytes(b"a: " + b"{a: " * 3000),
}

SOUND_STUDY = {
    "study": "s",
    "probes": {"set": "starter", "topics": ["immigration"], "per_topic": 2},
    "models": {"m": {"path": "model"}},
    "corpora": {"c": {"data": "starter:sft-neutral"}},
    "preferences": {"p": {"data": "starter:preference-oppose"}},
    "sft": [{"data": ["c"], "algorithm": {"type": "sft", "steps": 2, "learning_rate": 1e-3}}],
    "preference": [{"data": ["p"], "after": ["c"], "algorithm": {"type": "dpo", "steps": 2, "learning_rate": 1e-3}}],
    "sampling": {"n": 2, "temperature": 0.7, "max_new_tokens": 8},
    "checkpoints": {"type": "log", "points": 3},
    "judges": [{"type": "cross-encoder"}],
    "analysis": {"confidence": 0.95, "resamples": 100},
    "seed": 0,
    "runtime": {"workers": 1},
}
"""A study of a model in the folder ``model``, as keys and values."""
WRONG_VALUES: Mapping[str, tuple[tuple[str | int, ...], object]] = {
    "name with a slash": (("study",), "a/b"),
    "name that is null": (("study",), None),
    "name that is a list": (("study",), ["a"]),
    "probes that are a number": (("probes",), 3),
    "unknown topic": (("probes", "topics"), ["imigration"]),
    "no topics": (("probes", "topics"), []),
    "one probe a topic": (("probes", "per_topic"), 1),
    "too many probes": (("probes", "per_topic"), 2**63),
    "probes of text": (("probes", "per_topic"), "many"),
    "absent probes": (("probes", "set"), "nowhere.jsonl"),
    "absent model": (("models", "m", "path"), "nowhere"),
    "unknown embedded model": (("models", "m", "path"), "embedded:smolm2"),
    "unknown scheme": (("models", "m", "path"), "ftp:what"),
    "not a name of the hub": (("models", "m", "path"), "hf:a/b/c/d"),
    "model out of reach": (("models", "m", "path"), "hf:nobody/nothing"),
    "no models": (("models",), {}),
    "models that are a list": (("models",), ["m"]),
    "no weights": (("models", "m", "parameters"), 0),
    "infinite weights": (("models", "m", "parameters"), float("inf")),
    "absent corpus": (("corpora", "c", "data"), "nowhere.jsonl"),
    "unknown packaged data": (("corpora", "c", "data"), "starter:sft-neutrl"),
    "pairs that are demonstrations": (("preferences", "p", "data"), "starter:sft-neutral"),
    "unknown corpus": (("sft", 0, "data"), ["d"]),
    "no corpus": (("sft", 0, "data"), []),
    "unknown algorithm": (("preference", 0, "algorithm", "type"), "dpoo"),
    "algorithm of another section": (("sft", 0, "algorithm", "type"), "dpo"),
    "algorithm that is a number": (("sft", 0, "algorithm"), 3),
    "no steps": (("sft", 0, "algorithm", "steps"), 0),
    "steps of 2^63": (("sft", 0, "algorithm", "steps"), 2**63),
    "steps of 2^63 - 1": (("sft", 0, "algorithm", "steps"), 2**63 - 1),
    "half a step": (("sft", 0, "algorithm", "steps"), 1.5),
    "negative rate": (("sft", 0, "algorithm", "learning_rate"), -1),
    "rate that is no number": (("sft", 0, "algorithm", "learning_rate"), float("nan")),
    "rate that is true": (("sft", 0, "algorithm", "learning_rate"), True),
    "unknown key of an algorithm": (("sft", 0, "algorithm", "learning_rat"), 1),
    "sweep of what is not there": (("preference", 0, "sweep"), {"bta": [1]}),
    "sweep that is refused": (("preference", 0, "sweep"), {"beta": [-1]}),
    "after what is not trained": (("preference", 0, "after"), ["d"]),
    "no answers": (("sampling", "n"), 0),
    "too many answers": (("sampling", "n"), 2**63),
    "cold sampling": (("sampling", "temperature"), -0.5),
    "long answers": (("sampling", "max_new_tokens"), 2**31),
    "unknown schedule": (("checkpoints", "type"), "logg"),
    "no points": (("checkpoints", "points"), 0),
    "unknown judge": (("judges", 0, "type"), "cross-encodr"),
    "no judges": (("judges",), []),
    "judge of text": (("judges",), "cross-encoder"),
    "judge without weights": (("judges", 0, "weights"), "nowhere"),
    "judge with absent calibration": (("judges", 0, "calibration"), "nowhere.json"),
    "judge that is a server with a bad address": (("judges", 0), {"type": "openai", "model": "m", "base_url": "nowhere"}),
    "judge with a key in its address": (("judges", 0), {"type": "openai", "model": "m", "base_url": "http://me:secret@host/v1"}),
    "judge with absent prices": (
        ("judges", 0),
        {"type": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1", "budget": {"usd": 1, "prices": "nowhere.yaml"}},
    ),
    "two judges of one name": (("judges",), [{"type": "cross-encoder"}, {"type": "cross-encoder"}]),
    "panel of nobody": (("judges",), [{"type": "cross-encoder"}, {"type": "panel", "members": ["nobody"]}]),
    "certain": (("analysis", "confidence"), 1),
    "no resamples": (("analysis", "resamples"), 0),
    "negative seed": (("seed",), -1),
    "unknown engine": (("engine",), "transfomers"),
    "engine of a server for trained models": (("engine",), {"type": "openai", "base_url": "http://127.0.0.1:9/v1"}),
    "no workers": (("runtime", "workers"), 0),
    "unknown device": (("runtime", "device"), "cudaa"),
    "unknown dtype": (("dtype",), "float8"),
}
"""What is wrong with a study: where, and what stands there."""


def with_value(where: tuple[str | int, ...], value: object) -> dict[str, object]:
    """The sound study with another value in one place."""
    study = json.loads(json.dumps(SOUND_STUDY))
    place = study
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    return dict(study)


def _only(root: Path, pattern: str) -> Path:
    return sorted(root.glob(pattern))[-1]


def _rewritten(pattern: str, change: Callable[[dict[str, object]], object]) -> Make:
    """The newest manifest of a root with other content."""

    def damage(root: Path) -> None:
        file = _only(root, pattern)
        content = json.loads(gzip.decompress(file.read_bytes()))
        file.write_bytes(gzip.compress(json.dumps(change(content)).encode()))

    return damage


_MANIFEST = "_manifests/study=demo/*"
ROOTS: Mapping[str, Make] = {
    "manifest empty": lambda root: _only(root, _MANIFEST).write_bytes(b""),
    "manifest cut off": lambda root: _only(root, _MANIFEST).write_bytes(_only(root, _MANIFEST).read_bytes()[:40]),
    "manifest of text": lambda root: _only(root, _MANIFEST).write_bytes(b"hello"),
    "manifest that is a list": _rewritten(_MANIFEST, lambda content: []),
    "manifest that is null": _rewritten(_MANIFEST, lambda content: None),
    "manifest of brackets": lambda root: _only(root, _MANIFEST).write_bytes(gzip.compress(b"[" * 5000)),
    "manifest without entries": _rewritten(_MANIFEST, lambda content: {**content, "entries": 3}),
    "manifest of another format": _rewritten(_MANIFEST, lambda content: {**content, "format": 99}),
    "entries of nothing": _rewritten(_MANIFEST, lambda content: {**content, "entries": [None]}),
    "entries of others": _rewritten(_MANIFEST, lambda content: {**content, "entries": [{"what": 1}]}),
}
"""Roots of which no command can read the tables."""
TABLES: Mapping[str, Make] = {
    "object cut off": lambda root: [file.write_bytes(file.read_bytes()[:-20]) for file in (root / "stances").rglob("*.parquet")],
    "object empty": lambda root: [file.write_bytes(b"") for file in (root / "stances").rglob("*.parquet")],
    "object gone": lambda root: shutil.rmtree(root / "stances"),
    "object of text": lambda root: [file.write_bytes(b"x" * file.stat().st_size) for file in (root / "stances").rglob("*.parquet")],
}
"""Roots of which the stances can't be read."""


def _json_file(name: str, content: bytes) -> Make:
    return lambda folder: (folder / name).write_bytes(content)


MODELS: Mapping[str, Make] = {
    **{
        f"{name} {what}": _json_file(name, content)
        for name in ("config.json", "tokenizer_config.json", "tokenizer.json")
        for what, content in {
            "empty": b"",
            "list": b"[]",
            "cut off": b'{"a": ',
            "binary": b"\xff\xfe",
            "brackets": b"[" * 5000,
            "null": b"null",
        }.items()
    },
    "weights cut off": lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100]),
    "weights of text": _json_file("model.safetensors", b"version https://git-lfs.github.com/spec/v1\n"),
    "weights empty": _json_file("model.safetensors", b""),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "weights pickled": lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
    "no config": lambda folder: (folder / "config.json").unlink(),
    "no tokenizer": lambda folder: [file.unlink() for file in folder.glob("tokenizer*")],
    "unknown kind of model": _json_file("config.json", b'{"model_type": "unheard-of", "architectures": ["X"]}'),
    "template that fails": _json_file("chat_template.jinja", b"{{ raise_exception('no') }}"),
    "template that is no template": _json_file("chat_template.jinja", b"{% for %}"),
}
"""Model folders that can't be trained; what they are made of is sound but for one thing."""
