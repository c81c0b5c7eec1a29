"""What both judges share: whom they judge, and how they put a figure and its line into a sentence."""

from __future__ import annotations

from dataclasses import dataclass

from tallystick.components.core.measures.intervals import Interval
from tallystick.components.core.verdicts import Comparison

SAMPLE_WORDS = {
    "out_of_fold": "cross-validated on development data",
    "holdout": "on the hold-out sample",
    "both": "on both samples together",
}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The model that is judged: its name, kind, and the digest of its package (empty while it has none)."""

    name: str
    kind: str
    sha256: str = ""


def shown(figure: float, line: float | None = None) -> str:
    """A figure with three decimals, or as many as it takes to tell it from its line."""
    digits = 3
    while line is not None and figure != line and digits < 12 and round(figure, digits) == round(line, digits):
        digits += 1
    return f"{figure:.{digits}f}"


def in_interval(interval: Interval | None) -> str:
    """`` (95 % interval 0.712 to 0.833)``, or nothing."""
    return f" (95 % interval {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""


def line_words(comparison: Comparison, threshold: float) -> str:
    """``at least 0.8`` or ``at most 0.105``."""
    return f"{'at least' if comparison == '>=' else 'at most'} {threshold:g}"
