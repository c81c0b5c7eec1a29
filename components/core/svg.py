"""Turns matplotlib figures into SVG that stands inside a page: same bytes each time, readable by a screen reader.

Nothing here opens a window, keeps global state (no pyplot) or writes a file. Text stays text, so that it can be
searched, copied and read aloud; identifiers carry the plot's key, so that many plots can share one page.
"""

from __future__ import annotations

import html
import io
import re
import textwrap
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

# Okabe and Ito (2008), Color Universal Design: told apart with any of the common colour blindnesses.
BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#00795A", "#E69F00"
PURPLE, SKY, INK, GREY, PALE = "#B0528A", "#56B4E9", "#1f2933", "#65707d", "#e3e8ee"

_POINTS_PER_INCH, _PIXELS_PER_POINT = 72, 4 / 3
_FONTS = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
}


def new_figure(width_in: float, height_in: float) -> Any:
    """An empty figure in the house style; draw on it and give it to :func:`inline_svg`."""
    with rc_context(_STYLE):
        return Figure(figsize=(width_in, height_in), layout="constrained", facecolor="none")


def new_axes(figure: Any, rows: int = 1, columns: int = 1, **options: Any) -> Any:
    """Axes in the house style, as :meth:`matplotlib.figure.Figure.subplots` gives them."""
    with rc_context(_STYLE):
        return figure.subplots(rows, columns, **options)


def inline_svg(figure: Any, *, key: str, alt: str) -> str:
    """Draw the figure as one ``<svg>`` element.

    Parameters
    ----------
    figure
        Made by :func:`new_figure`.
    key
        Prefix of every identifier inside, unique on its page: letters, digits and dashes.
    alt
        What the plot shows, in a sentence or two with its main figures, for readers who do not see it.

    Returns
    -------
    str
        The same bytes for the same figure; it scales down to its window and needs no other file.
    """
    buffer = io.BytesIO()
    with rc_context({**_STYLE, "svg.hashsalt": key}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    drawing = buffer.getvalue().decode()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r"<!--.*?-->\s*", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r'id="([^"]+)"', rf'id="{key}-\1"', drawing)
    drawing = re.sub(r'(href="#|url\(#)', rf"\g<1>{key}-", drawing)
    drawing = re.sub(r"font: ([^\"]*?)'DejaVu Sans'[^;\"]*", rf"font: \g<1>{_FONTS}", drawing)
    drawing = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\d\.\d{2})\d+", r"\1", tag[0]), drawing)
    return _root(drawing, alt, float(figure.get_figwidth()))


def _root(drawing: str, alt: str, width_in: float) -> str:
    """Replace the opening tag: no fixed size, a role and a name."""
    opening = drawing[: drawing.index(">") + 1]
    found = re.search(r'viewBox="([^"]+)"', opening)
    if found is None:
        raise ValueError("matplotlib wrote an SVG without a viewBox")
    width_px = round(width_in * _POINTS_PER_INCH * _PIXELS_PER_POINT)
    spoken = html.escape(alt, quote=True)
    return (
        f'<svg class="plot" role="img" aria-label="{spoken}" viewBox="{found[1]}" '
        f'style="width:100%;min-width:{round(width_px * 0.62)}px;max-width:{width_px}px;height:auto" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f"<title>{html.escape(alt)}</title>{drawing[len(opening) :].strip()}"
    )


def wrapped(label: str, width: int = 30, lines: int = 2) -> str:
    """A label in at most `lines` lines of `width` characters; a longer one ends in an ellipsis."""
    parts = textwrap.wrap(label, width)
    if len(parts) > lines:
        parts = [*parts[: lines - 1], textwrap.shorten(" ".join(parts[lines - 1 :]), width, placeholder=" …")]
    return "\n".join(parts)


def percent_axis(axis: Any) -> None:
    """Ticks of a fraction as whole percent."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(lambda value, _position: f"{value * 100:.0f} %")
