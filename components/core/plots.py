"""The plots of the report, the card and the steps' pages, drawn from statements' details alone.

Every function takes what a statement recorded (see the details' keys at each function) and returns one inline
SVG. Nothing here computes a figure that was not recorded, and nothing here decides anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from tallystick.components.core.plots_fairness import SAMPLES, alternatives_plot, group_rates_plot
from tallystick.components.core.plots_traffic import traffic_plot
from tallystick.components.core.svg import (
    BLUE,
    GREY,
    INK,
    PALE,
    inline_svg,
    new_axes,
    new_figure,
    percent_axis,
    wrapped,
)

__all__ = [
    "alternatives_plot",
    "calibration_plot",
    "group_rates_plot",
    "importances_plot",
    "roc_plot",
    "shap_summary_plot",
    "traffic_plot",
]

Details = Mapping[str, Any]

_SHOWN_FEATURES = 12
_SHOWN_ROWS = 250  # more points say no more to the eye and make the page heavy
_LOW_TO_HIGH = ("#3B4CC0", "#7B9FF9", "#A9A9A9", "#E8A33D", "#B40426")


def _sample(details: Details) -> str:
    name = str(details.get("sample", "holdout"))
    return SAMPLES.get(name, name)


def _with_interval(figure: Mapping[str, Any]) -> str:
    low_high = figure.get("interval")
    value = "not known" if figure["figure"] is None else f"{figure['figure']:.3f}"
    return f"{value} ({low_high[0]:.3f} to {low_high[1]:.3f})" if low_high else value


def roc_plot(details: Details, *, key: str = "roc") -> str:
    """Trade-off between adverse cases found and favourable cases wrongly flagged.

    Parameters
    ----------
    details
        Of the evaluation: ``roc`` [[false positive rate, true positive rate]], ``figures.auc``, ``confusion``.
    """
    figure = new_figure(5.2, 4.1)
    axes = new_axes(figure)
    curve = details["roc"]
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    axes.text(0.6, 0.53, "no better than chance", color=GREY, fontsize=8.5, rotation=36, ha="center", va="center")
    axes.fill_between([p[0] for p in curve], [p[1] for p in curve], color=BLUE, alpha=0.10, linewidth=0)
    axes.plot([p[0] for p in curve], [p[1] for p in curve], color=BLUE)
    area = _with_interval(details["figures"]["auc"])
    axes.text(0.97, 0.06, f"AUC {area}", transform=axes.transAxes, ha="right", fontsize=10.5, fontweight="bold")
    (tn, fp), (fn, tp) = details["confusion"]
    if tn + fp and tp + fn:
        point = (fp / (tn + fp), tp / (tp + fn))
        axes.plot(*point, marker="o", color=INK, markersize=7, linestyle="none")
        axes.annotate(
            "where the policy decides", point, xytext=(9, -12), textcoords="offset points", fontsize=9, color=INK
        )
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    axes.set_xlabel("Favourable cases wrongly flagged")
    axes.set_ylabel("Adverse cases found")
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    alt = (
        f"ROC curve on {_sample(details)}: area under the curve {area}; the diagonal is a model no better than chance."
    )
    return inline_svg(figure, key=key, alt=alt)


def calibration_plot(details: Details, *, key: str = "calibration") -> str:
    """Predicted against observed adverse rate, each bin with its 95 % interval.

    Parameters
    ----------
    details
        Of the evaluation: ``calibration`` [{mean_score, observed, low, high, rows}].
    """
    bins = [b for b in details["calibration"] if b["rows"] and b["observed"] is not None]
    figure = new_figure(5.2, 4.1)
    axes = new_axes(figure)
    top = max([0.1, *(max(b["mean_score"], b["high"]) for b in bins)]) * 1.04
    axes.plot([0, top], [0, top], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    axes.text(top * 0.97, top * 0.90, "perfect", color=GREY, fontsize=8.5, ha="right")
    for b in bins:
        axes.plot([b["mean_score"]] * 2, [b["low"], b["high"]], color=BLUE, linewidth=1.4, alpha=0.75)
    axes.plot([b["mean_score"] for b in bins], [b["observed"] for b in bins], "o", color=BLUE, markersize=6)
    axes.set(xlim=(-0.01 * top, top), ylim=(-0.01 * top, top))
    axes.set_xlabel("Predicted probability of the adverse outcome")
    axes.set_ylabel("Observed share")
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    inside = sum(b["low"] <= b["mean_score"] <= b["high"] for b in bins)
    alt = (
        f"Calibration on {_sample(details)}: in {inside} of {len(bins)} bins of similar scores the predicted "
        "probability lies within the 95 % interval of the observed share."
    )
    return inline_svg(figure, key=key, alt=alt)


def importances_plot(details: Details, *, key: str = "importances") -> str:
    """Which facts move the score most: the mean size of each feature's contribution.

    Parameters
    ----------
    details
        Of the explanation: ``importances`` [{feature, meaning, mean_absolute}], largest first.
    """
    shown = details["importances"][:_SHOWN_FEATURES]
    figure = new_figure(5.2, 0.7 + 0.36 * len(shown))
    axes = new_axes(figure)
    values = [entry["mean_absolute"] for entry in shown]
    axes.barh(range(len(shown)), values, color=BLUE, height=0.62)
    for position, value in enumerate(values):
        axes.annotate(
            f"{value:.3g}", (value, position), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8.5
        )
    axes.set(ylim=(len(shown) - 0.5, -0.5), xlim=(0, max(values, default=1.0) * 1.16 or 1.0))
    axes.set_yticks(range(len(shown)), [_label(entry) for entry in shown], fontsize=8.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("Mean size of the contribution to the score")
    first = ", ".join(str(entry["meaning"] or entry["feature"]) for entry in shown[:3])
    alt = f"Mean size of the contribution of the {len(shown)} strongest features; the first three: {first}."
    return inline_svg(figure, key=key, alt=alt)


def shap_summary_plot(details: Details, *, key: str = "summary") -> str:
    """One point an applicant and feature: how far it moved the score, coloured by the feature's value.

    Parameters
    ----------
    details
        Of the explanation: ``points`` [{feature, values, contributions}] and ``importances`` for the labels.
    """
    points = details["points"][:_SHOWN_FEATURES]
    labels = {entry["feature"]: _label(entry) for entry in details["importances"]}
    figure = new_figure(5.2, 0.95 + 0.36 * len(points))
    axes = new_axes(figure)
    axes.axvline(0, color=GREY, linewidth=1)
    for row, entry in enumerate(points):
        moved = np.asarray(entry["contributions"][:_SHOWN_ROWS], dtype=np.float64)
        level = _levels(entry["values"][:_SHOWN_ROWS])
        heights = row + _swarm(moved)
        for number in range(-1, len(_LOW_TO_HIGH)):
            own = level == number
            colour = PALE if number < 0 else _LOW_TO_HIGH[number]
            axes.plot(moved[own], heights[own], "o", markersize=2.7, markeredgewidth=0, color=colour)
    for number, words in ((0, "low value"), (2, "middle"), (len(_LOW_TO_HIGH) - 1, "high value")):
        axes.plot([], [], "o", markersize=5, color=_LOW_TO_HIGH[number], label=words)
    axes.set(ylim=(len(points) - 0.4, -0.6))
    axes.set_yticks(range(len(points)), [labels.get(p["feature"], p["feature"]) for p in points], fontsize=8.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("Contribution to the score")
    for place, words, side in ((0.0, "← lowers it", "left"), (1.0, "raises it →", "right")):
        axes.text(place, 1.02, words, transform=axes.transAxes, ha=side, fontsize=8.5, color=GREY)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    count = min(_SHOWN_ROWS, max((len(p["contributions"]) for p in points), default=0))
    alt = f"Contributions of the {len(points)} strongest features to the scores of {count} applicants, one point each."
    return inline_svg(figure, key=key, alt=alt)


def _label(entry: Mapping[str, Any]) -> str:
    """The feature's meaning without what stands in brackets or after a semicolon, in two lines."""
    meaning = re.sub(r"\s*\([^)]*\)", "", str(entry["meaning"] or entry["feature"]))
    return wrapped(meaning.partition(";")[0], 34)


def _levels(values: Any) -> Any:
    """Five levels by rank within the column, shape (rows,); -1 for missing or not a number."""
    numbers = np.array([float(v) if isinstance(v, bool | int | float) else np.nan for v in values], dtype=np.float64)
    known = np.flatnonzero(~np.isnan(numbers))
    level = np.full(len(numbers), -1)
    distinct, position = np.unique(numbers[known], return_inverse=True)
    if len(distinct) == 2:  # yes or no: the two ends, however often each occurs
        level[known] = np.where(position == 0, 0, len(_LOW_TO_HIGH) - 1)
    elif len(distinct):
        counts = np.bincount(position)
        middle = (np.cumsum(counts) - counts / 2) / len(known)
        level[known] = np.minimum(middle[position] * len(_LOW_TO_HIGH), len(_LOW_TO_HIGH) - 1).astype(np.int64)
    return level


def _swarm(values: Any) -> Any:
    """Vertical shifts within +-0.38 that spread points of similar value, shape (rows,); no randomness."""
    shift = np.zeros(len(values))
    if not len(values):
        return shift
    span = float(values.max() - values.min()) or 1.0
    place = np.floor((values - values.min()) / span * 70).astype(np.int64)
    fullest = int(np.bincount(place).max())
    for bin_number in np.unique(place):
        own = np.flatnonzero(place == bin_number)
        order = np.arange(len(own))
        shift[own] = np.where(order % 2 == 0, 1, -1) * ((order + 1) // 2) / max(1, (fullest + 1) // 2, 6)
    return shift * 0.38
