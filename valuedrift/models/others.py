"""How loaders of others are called (transformers, PEFT, tokenizers): without their chatter, and with what they raise told as a fault of what they read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from valuedrift.errors import UserError


@contextmanager
def read_by_others(what: str, where: Path) -> Iterator[None]:
    """Tell what stops a loader of others as a fault of the folder that it reads: transformers, PEFT and tokenizers raise whatever they stumble over.

    Args:
        what: What is not possible then.
        where: The folder.

    Raises:
        UserError: Anything else was raised.
    """
    try:
        yield
    except UserError:
        raise
    except (TypeError, AttributeError, LookupError) as error:  # Python's words for them name nothing that the user gave
        said = f"{what}: a file of it is not in the shape that is expected"
        raise UserError(said, where=str(where), fix="copy or download it again") from error
    except Exception as error:
        raise UserError(f"{what}: {first_line(error)}", where=str(where)) from error


def first_line(error: BaseException) -> str:
    """What an error says on its first line, and on the next where the first ends with a colon; the kind of error where that is one word or none."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    said = " ".join(lines[: 2 if lines[0].endswith(":") else 1]) if lines else ""
    return said if " " in said else f"{type(error).__name__} {said}".strip()


@contextmanager
def quiet() -> Iterator[None]:
    """Transformers without its report of what is missing, which says the same at length and is only a warning, and without its bar."""
    from transformers.utils import logging

    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


def bare(model: Any) -> Any:
    """A model that adapters were merged into or taken off, without the leftover with which the next one would warn about stacking."""
    if hasattr(model, "peft_config"):
        del model.peft_config
    return model
