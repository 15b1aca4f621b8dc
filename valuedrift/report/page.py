"""The page: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from valuedrift.lineage import PHASES
from valuedrift.report.answer import asked
from valuedrift.report.inputs import ReportInputs
from valuedrift.report.reading import GLOSSARY
from valuedrift.report.sections import Page, Section, sections
from valuedrift.stance import LITTLE, STANCES
from valuedrift.words import counted, percent, plain, signed, slug, visible

_RELOAD_SECONDS = 20
"""How often the page of a study that is watched looks whether there is more."""


def build_report(inputs: ReportInputs, *, watched: bool = False) -> str:
    """Write a study's report.

    Args:
        inputs: The study's tables and provenance.
        watched: Whether checkpoints may still come: the page then reloads itself where it is open.

    Returns:
        One HTML document: styles, figures and the few lines of script are in it, nothing is loaded, all text from tables is escaped.
    """
    page = Page(inputs)
    script = "".join(_asset(name) for name in ("enhance.js", *(("reload.js",) if watched else ())))
    filled = ((section, _filled(section, page)) for section in sections())
    shown = [{"anchor": section.anchor, "title": section.title, "html": html} for section, html in filled if html is not None]
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            inputs=inputs,
            asked=asked(inputs),
            sections=shown,
            reload_seconds=_RELOAD_SECONDS if watched else None,
            style=page_style(),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def _filled(section: Section, page: Page) -> Markup | None:
    """A section as HTML; None where it has nothing to say."""
    filling = section.filling(page)
    if filling is None:
        return None
    templates, inputs = environment(), page.inputs
    name = f"{section.anchor.replace('-', '_')}.html.jinja"
    template = templates.from_string(section.template) if section.template else templates.get_template(name)
    for_all = {
        "inputs": inputs,
        "lineage": inputs.lineage,
        "stances": [stance.value for stance in STANCES],
        "glossary": GLOSSARY,
        "phases": PHASES,
        "little": LITTLE,
    }
    return Markup(template.render({**for_all, **filling}))


@cache
def environment() -> Environment:
    """Where templates are found and how they are filled: everything is escaped, what is not given is a fault."""
    environment = Environment(
        loader=FunctionLoader(_asset),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_made_visible,
    )
    environment.filters.update(signed=signed, plain=plain, percent=percent, slug=slug)
    environment.globals["counted"] = counted
    return environment


def page_style() -> Markup:
    """The style of every page."""
    return Markup(_asset("style.css"))


def _asset(name: str) -> str:
    return files("valuedrift").joinpath("report", "templates", name).read_text(encoding="utf-8")


def _made_visible(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
