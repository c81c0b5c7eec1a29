"""The look that all reports share: one self-contained HTML page, readable in Kubeflow's sandboxed frame and in print.

A page loads nothing: no script, no font, no image from elsewhere. Values are escaped unless they are Markup,
and a value that a template expects and does not get is an error, never a blank.
"""

from __future__ import annotations

import base64
import io
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from tallystick.components.core.verdicts import Outcome, finite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNKNOWN = "–"  # noqa: RUF001 - an en dash, as typeset tables use it
COLOURS = {
    "ink": "#1f2a33",
    "muted": "#6b7780",
    "line": "#d9dee2",
    "accent": "#1f5f8b",
    "second": "#c8752d",
    "third": "#5b8c5a",
    "fourth": "#8a5a9e",
    "pass": "#1a7f4b",
    "fail": "#b3261e",
    "insufficient": "#a15c00",
    "recorded": "#6b7780",
}


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
    """A number with `digits` significant digits (whole numbers in full); an en dash where it is missing, NaN or infinite."""
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


def figure_html(fig: Figure, alt: str, *, kind: Literal["svg", "png"] = "svg", caption: str = "") -> Markup:
    """A matplotlib figure as HTML that needs no other file; the figure is closed.

    Parameters
    ----------
    fig
        Drawn and laid out; make it with ``matplotlib.figure.Figure`` and no pyplot, which keeps figures open.
    alt
        What it shows, in one sentence, for a reader who cannot see it.
    kind
        ``png`` for thousands of points, where SVG would be large.
    caption
        Printed under the figure.

    Returns
    -------
    Markup
        The same bytes for the same figure: no time, no random name.
    """
    import matplotlib as mpl

    buffer = io.BytesIO()
    style = {"svg.hashsalt": "tallystick", "svg.fonttype": "none", "font.family": "sans-serif"}
    with mpl.rc_context(style):
        metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
        fig.savefig(buffer, format=kind, dpi=144, bbox_inches="tight", metadata=metadata)
    fig.clear()
    if kind == "svg":
        drawing = buffer.getvalue().decode()
        image = f'<div role="img" aria-label="{escape(alt)}">{drawing[drawing.index("<svg") :]}</div>'
    else:
        encoded = base64.b64encode(buffer.getvalue()).decode()
        image = f'<img alt="{escape(alt)}" src="data:image/png;base64,{encoded}">'
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return Markup(f"<figure>{image}{below}</figure>")  # noqa: S704 - every part is escaped or drawn by matplotlib


def new_figure(width: float = 6.4, height: float = 3.6) -> tuple[Figure, Any]:
    """A new figure (inches) and its axes in the reports' style, without pyplot."""
    from matplotlib.figure import Figure as NewFigure

    fig = NewFigure(figsize=(width, height), layout="constrained")
    axes = fig.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(COLOURS["muted"])
    axes.tick_params(colors=COLOURS["ink"], labelsize=9)
    axes.grid(visible=True, color=COLOURS["line"], linewidth=0.6)
    axes.set_axisbelow(True)
    return fig, axes
