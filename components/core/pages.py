"""The look that all reports share: one self-contained HTML page, readable in Kubeflow's sandboxed frame and in print.

A page loads nothing: no script, no font, no image from elsewhere. Values are escaped unless they are Markup,
and a value that a template expects and does not get is an error, never a blank. Plots come from svg.py.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tallystick.components.core.verdicts import Outcome, finite

UNKNOWN = "–"  # noqa: RUF001 - an en dash, as typeset tables use it


def render(template: str, folder: Path, **values: Any) -> str:
    """Fill one page.

    Parameters
    ----------
    template
        Name of a template in `folder`; it starts with ``{% extends "page.html.j2" %}`` and fills the blocks
        ``title``, ``lead`` and ``content``. ``macros.html.j2`` has ``banner(verdict)``, ``checks(verdict)``
        and ``badge(outcome)``.
    folder
        The component's own folder.
    values
        What the template names; a name that is missing raises ``jinja2.UndefinedError``.
    """
    return _environment(folder).get_template(template).render(**values)


@cache
def _environment(folder: Path) -> Environment:
    here = Path(str(files("tallystick.components.core")))
    environment = Environment(
        loader=FileSystemLoader([folder, here]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(figure=figure, percent=percent, interval=interval, count=count, short=short)
    environment.globals.update(
        stylesheet=Markup((here / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        outcome_class=outcome_class,
    )
    return environment


def figure(value: float | None, digits: int = 4) -> str:
    """A number with `digits` significant digits, whole numbers in full; an en dash where it is missing or infinite."""
    known = finite(value)
    if known is None:
        return UNKNOWN
    if abs(known) >= 1e15:
        return f"{known:.{digits}g}"
    if known == int(known) or abs(known) >= 10 ** (digits - 1):
        return f"{known:,.0f}"
    return f"{known:.{digits}g}"


def percent(value: float | None, digits: int = 1) -> str:
    """A ratio of 0 to 1 as per cent: 0.877 is ``87.7 %``."""
    known = finite(value)
    return UNKNOWN if known is None else f"{100 * known:.{digits}f} %"


def interval(value: tuple[float, float] | list[float] | None, digits: int = 3) -> str:
    """An interval as ``0.71 to 0.83``; an en dash where there is none."""
    if not value or finite(value[0]) is None or finite(value[1]) is None:
        return UNKNOWN
    return f"{figure(value[0], digits)} to {figure(value[1], digits)}"


def count(value: int | None) -> str:
    """A number of things with separators: ``1,989``."""
    return UNKNOWN if value is None else f"{value:,}"


def short(digest: str) -> str:
    """The first twelve digits of a digest, enough to recognise it by."""
    return digest.removeprefix("sha256:")[:12]


def outcome_class(outcome: Outcome | str) -> str:
    """The style of an outcome: ``pass``, ``fail``, ``insufficient`` or ``recorded``."""
    return str(Outcome(outcome).value).split()[0]
