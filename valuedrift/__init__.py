"""valuedrift: when, how far and by what a language model's values move during post-training.

In Python, ``import valuedrift as vd``: `vd.open` reads the tables of a root, `vd.plot` draws them, `vd.trace` and
`vd.import_stances` make them (docs/python.md).
These names are loaded when they are first used. Beneath, the domain, without Prefect and without paths of its own: what is computed. See docs/concepts.md
for how a question becomes a number.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from valuedrift.api import plot
    from valuedrift.api.root import Root, open
    from valuedrift.api.trace import import_stances, trace

__all__ = ["Root", "__version__", "import_stances", "open", "plot", "trace"]

__version__ = "0.3.0"

_HOMES = {
    "Root": "valuedrift.api.root:Root",
    "import_stances": "valuedrift.api.trace:import_stances",
    "open": "valuedrift.api.root:open",
    "plot": "valuedrift.api.plot",
    "trace": "valuedrift.api.trace:trace",
}
"""Where the names for users lie."""


def __getattr__(name: str) -> Any:
    from pkgutil import resolve_name

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return resolve_name(_HOMES[name])


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
