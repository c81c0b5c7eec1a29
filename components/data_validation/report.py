"""Draws the data validation's page from its verdict, its figures and the table itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from tallystick.components.core.contract import Column, Contract
from tallystick.components.core.pages import render
from tallystick.components.core.verdicts import Verdict

_HERE = Path(__file__).parent
_WIDTH, _HEIGHT, _BARS = 132, 26, 22
_LARGE = 1e30


def report_html(table: pd.DataFrame, contract: Contract, verdict: Verdict, details: dict[str, Any]) -> str:
    """One self-contained page.

    Parameters
    ----------
    table
        The typed table; only for the small distributions beside each column.
    details
        As the statement keeps them.
    """
    shapes = {
        column.name: _shape(table[column.name], column)
        for column in contract.columns
        if column.role in ("feature", "sensitive")
    }
    leakage = sorted(details["leakage"], key=lambda entry: entry["auc"], reverse=True)
    drift = sorted(details["drift"], key=lambda entry: entry["index"] or 0.0, reverse=True)
    return render(
        "report.html.j2",
        _HERE,
        contract=contract,
        verdict=verdict,
        details=details,
        columns={column.name: column for column in contract.columns},
        shapes=shapes,
        leakage=leakage,
        drift=drift,
    )


def _shape(values: pd.Series, column: Column) -> Markup:
    """A distribution as a strip of bars: one a value where there are few, else equal widths without the tails."""
    known = values.dropna()
    if not len(known):
        return Markup("")
    if column.type == "category" or known.nunique() <= _BARS:
        counts = (
            known.value_counts().sort_index(key=lambda index: index.map(str))
            if column.type == "category"
            else (known.value_counts().sort_index())
        )
        heights = counts.head(_BARS).to_numpy(dtype=np.float64)
        label = ", ".join(f"{value}: {count:,}" for value, count in counts.head(_BARS).items())
    else:
        numbers = known.astype(np.float64).to_numpy()
        numbers = numbers[np.abs(numbers) < _LARGE]
        low, high = np.quantile(numbers, [0.01, 0.99])
        inside = numbers[(numbers >= low) & (numbers <= high)]
        heights = np.histogram(inside, bins=_BARS)[0].astype(np.float64)
        label = f"98 % of the values lie between {low:g} and {high:g}"
    return _bars(heights, label)


def _bars(heights: np.ndarray, label: str) -> Markup:
    top = max(float(heights.max()), 1.0)
    step = _WIDTH / max(len(heights), 6)
    bars = "".join(
        f'<rect x="{place * step:.1f}" y="{_HEIGHT - _HEIGHT * height / top:.1f}" width="{step - 1:.1f}" '
        f'height="{_HEIGHT * height / top:.1f}"/>'
        for place, height in enumerate(heights)
    )
    return Markup(
        '<svg class="shape" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">'
        "<title>{label}</title>{bars}</svg>"
    ).format(w=_WIDTH, h=_HEIGHT, label=label, bars=Markup(bars))  # noqa: S704 - numbers alone
