"""The plots of fairness: approval rates by group, and the models tried; drawn from statements' details alone.

Part of plots.py, apart for its length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tallystick.components.core.svg import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    VERMILLION,
    inline_svg,
    new_axes,
    new_figure,
    percent_axis,
)

Details = Mapping[str, Any]

SAMPLES = {"out_of_fold": "development data, cross-validated", "holdout": "hold-out data", "both": "all data"}
METHODS = {
    "feature_sets": ("Fewer features", "s", BLUE),
    "regularisation": ("Regularisation", "^", GREEN),
    "reductions": ("Fairness constraint in training", "D", ORANGE),
    "threshold_optimiser": ("Threshold per group", "v", PURPLE),
}
_OTHER_METHOD = ("Candidate", "o", GREY)
_SERIES = ((VERMILLION, "s"), (BLUE, "o"), (GREEN, "D"), (PURPLE, "^"))


def group_rates_plot(models: Sequence[tuple[str, Details]], *, sample: str = "out_of_fold", key: str = "groups") -> str:
    """Approval rate of each group, and its ratio to the reference group, for one or two models side by side.

    Parameters
    ----------
    models
        (label, details of a fairness gate) for each model; details: ``attributes``
        {attribute: {reference, required, groups: [{group, sample, rows, approval_rate, interval,
        adverse_impact_ratio, ratio_interval}]}} and ``line``, the policy's least ratio.
    sample
        ``out_of_fold``, ``holdout`` or ``both``.
    """
    found: Mapping[str, Any] = models[0][1]["attributes"]
    attributes = sorted((n for n in found if _groups(models, n, sample)), key=lambda n: (not found[n]["required"], n))
    counts = [len(_groups(models, name, sample)) for name in attributes]
    heights = [0.75 + count * (0.22 + 0.22 * len(models)) for count in counts]
    figure = new_figure(10.8, sum(heights) + 0.7)
    grid = new_axes(figure, len(attributes), 2, squeeze=False, gridspec_kw={"height_ratios": heights})
    spoken = [f"Approval rates by group on {SAMPLES[sample]}."]
    for (rates, ratios), name in zip(grid, attributes, strict=True):
        _draw_rates(rates, models, name, sample)
        spoken += _draw_ratios(ratios, models, name, sample)
    grid[-1][0].set_xlabel("Approved, with 95 % interval")
    grid[-1][1].set_xlabel("Adverse impact ratio, with 95 % interval")
    if len(models) > 1:
        figure.legend(
            *grid[0][0].get_legend_handles_labels(), loc="outside upper right", ncols=len(models), frameon=False
        )
    return inline_svg(figure, key=key, alt=" ".join(spoken))


def _groups(models: Sequence[tuple[str, Details]], name: str, sample: str) -> list[str]:
    """Groups with a row in the sample, the reference first."""
    attribute = models[0][1]["attributes"][name]
    own = [entry["group"] for entry in attribute["groups"] if entry["sample"] == sample]
    return sorted(dict.fromkeys(own), key=lambda group: group != attribute["reference"])


def _entry(details: Details, name: str, group: str, sample: str) -> Mapping[str, Any] | None:
    entries: list[Mapping[str, Any]] = details["attributes"].get(name, {}).get("groups", [])
    return next((e for e in entries if e["group"] == group and e["sample"] == sample), None)


def _series(
    models: Sequence[tuple[str, Details]], name: str, sample: str
) -> list[tuple[str, dict[str, Any], float, Mapping[str, Any]]]:
    """(label, style, height, entry) of every point, one a model and group."""
    points = []
    for number, (label, details) in enumerate(models):
        colour, marker = _SERIES[number % len(_SERIES)] if len(models) > 1 else (BLUE, "o")
        style = {"color": colour, "marker": marker, "markersize": 6.5, "linestyle": "none"}
        offset = (number - (len(models) - 1) / 2) * 0.36
        for position, group in enumerate(_groups(models, name, sample)):
            entry = _entry(details, name, group, sample)
            if entry is not None and entry["approval_rate"] is not None:
                points.append((label, style, position + offset, entry))
    return points


def _whisker(axes: Any, interval: Sequence[float] | None, height: float, colour: str) -> None:
    if interval:
        axes.plot(interval, [height, height], color=colour, linewidth=1.6, alpha=0.8, solid_capstyle="butt")


def _draw_rates(axes: Any, models: Sequence[tuple[str, Details]], name: str, sample: str) -> None:
    attribute = models[0][1]["attributes"][name]
    groups = _groups(models, name, sample)
    lowest, labelled = 1.0, set()
    for label, style, height, entry in _series(models, name, sample):
        axes.plot(entry["approval_rate"], height, label=None if label in labelled else label, **style)
        _whisker(axes, entry["interval"], height, style["color"])
        labelled.add(label)
        lowest = min(lowest, entry["approval_rate"], *(entry["interval"] or ()))
    heading = name.replace("_", " ").capitalize() + ("" if attribute["required"] else " (recorded, does not decide)")
    axes.set_title(heading, loc="left", fontsize=11, fontweight="bold")
    labels = []
    for group in groups:
        rows = next((e["rows"] for _, d in models if (e := _entry(d, name, group, sample))), 0)
        role = "reference, " if group == attribute["reference"] else ""
        labels.append(f"{group}\n{role}{rows:,} people")
    axes.set(ylim=(len(groups) - 0.5, -0.5), yticks=range(len(groups)), xlim=(max(0.0, lowest - 0.05), 1.0))
    axes.set_yticklabels(labels)
    axes.grid(visible=False, axis="y")
    percent_axis(axes.xaxis)


def _draw_ratios(axes: Any, models: Sequence[tuple[str, Details]], name: str, sample: str) -> list[str]:
    reference, line = models[0][1]["attributes"][name]["reference"], models[0][1]["line"]
    groups = _groups(models, name, sample)
    lowest, highest, spoken = line - 0.1, 1.1, []
    for label, style, height, entry in _series(models, name, sample):
        ratio = entry["adverse_impact_ratio"]
        if ratio is None or entry["group"] == reference:
            continue
        ends = entry["ratio_interval"] or (ratio, ratio)
        decided = ratio if sample == "out_of_fold" else ends[1]  # as the gate judges: the figure, or the whole interval
        below = decided < line
        words = ", below the line" if below else ", interval reaches it" if ratio < line else ""
        axes.plot(ratio, height, **style)
        _whisker(axes, entry["ratio_interval"], height, style["color"])
        axes.annotate(
            f"{ratio:.2f}{words}",
            (1.0, height), xycoords=("axes fraction", "data"), xytext=(8, 0), textcoords="offset points",
            va="center", fontsize=9, color=style["color"], fontweight="bold" if below else "normal",
            annotation_clip=False,
        )  # fmt: skip
        lowest, highest = min(lowest, ends[0]), max(highest, ends[1])
        spoken.append(f"{label}, {entry['group']} against {reference}: adverse impact ratio {ratio:.2f}.")
    axes.axvspan(0, line, color=VERMILLION, alpha=0.08, linewidth=0)
    axes.axvline(line, color=VERMILLION, linewidth=1.4)
    axes.axvline(1.0, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_title(
        f"Ratio to the group \N{LEFT SINGLE QUOTATION MARK}{reference}\N{RIGHT SINGLE QUOTATION MARK}",
        loc="left",
        fontsize=9.5,
    )
    axes.set(ylim=(len(groups) - 0.5, -0.5), yticks=range(len(groups)))
    axes.set(xlim=(max(0.0, lowest - 0.03), min(highest + 0.03, 2.0)))
    for place, words, colour in ((line, f"line {line:.2f}", VERMILLION), (1.0, "equal", GREY)):
        axes.annotate(
            words, (place, 0.0), xycoords=("data", "axes fraction"), xytext=(3, 3), textcoords="offset points",
            fontsize=8.5, color=colour,
        )  # fmt: skip
    axes.set_yticklabels([])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    return spoken


def alternatives_plot(details: Details, *, key: str = "alternatives") -> str:
    """Every model tried: accuracy against the lowest adverse impact ratio, with the lines that had to be kept.

    Parameters
    ----------
    details
        Of the search: ``plain``, ``line``, ``maximum_auc_loss``, ``alternatives`` [{name, method, auc,
        adverse_impact_ratio, eligible, chosen}].
    """
    tried = [a for a in details["alternatives"] if a["auc"] is not None and a["adverse_impact_ratio"] is not None]
    plain, line = details["plain"], details["line"]
    floor = plain["auc"] - details["maximum_auc_loss"]
    figure = new_figure(10.8, 4.6)
    axes = new_axes(figure)
    all_x = [a["adverse_impact_ratio"] for a in tried] + [plain["adverse_impact_ratio"], line]
    all_y = [a["auc"] for a in tried] + [plain["auc"], floor]
    pad_x, pad_y = 0.08 * (max(all_x) - min(all_x) or 0.1), 0.10 * (max(all_y) - min(all_y) or 0.02)
    limits = (min(all_x) - pad_x, max(all_x) + pad_x), (min(all_y) - pad_y, max(all_y) + 1.6 * pad_y)
    axes.fill_between([line, limits[0][1]], floor, limits[1][1], color=GREEN, alpha=0.08, linewidth=0)
    axes.axvline(line, color=VERMILLION, linewidth=1.4)
    axes.axhline(floor, color=GREY, linewidth=1.1, linestyle=(0, (4, 3)))
    for method in dict.fromkeys(a["method"] for a in tried):
        label, marker, colour = METHODS.get(method, _OTHER_METHOD)
        own = [a for a in tried if a["method"] == method and not a["chosen"]]
        axes.scatter(
            [a["adverse_impact_ratio"] for a in own],
            [a["auc"] for a in own],
            marker=marker, s=44, facecolors=colour, edgecolors="white", linewidths=0.6, label=label,
        )  # fmt: skip
    axes.plot(plain["adverse_impact_ratio"], plain["auc"], "X", color=VERMILLION, markersize=11, label="Plain model")
    for chosen in [a for a in tried if a["chosen"]]:
        point = (chosen["adverse_impact_ratio"], chosen["auc"])
        axes.plot(*point, "*", color=INK, markersize=16, markeredgecolor="white", label="Chosen")
    axes.set(xlim=limits[0], ylim=limits[1])
    axes.text(line, limits[1][1], f" policy line {line:.2f}", color=VERMILLION, fontsize=9, va="top")
    axes.text(limits[0][1], floor, "least accuracy allowed ", color=GREY, fontsize=9, va="bottom", ha="right")
    axes.set_xlabel("Lowest adverse impact ratio among the groups that decide (higher is fairer)")
    axes.set_ylabel("AUC (higher is more accurate)")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False)
    eligible = sum(bool(a["eligible"]) for a in tried)
    alt = (
        f"Models tried: {len(tried)}, of which {eligible} keep every line. Plain model: AUC {plain['auc']:.3f}, "
        f"adverse impact ratio {plain['adverse_impact_ratio']:.2f}."
    )
    for chosen in [a for a in tried if a["chosen"]]:
        alt += f" Chosen: AUC {chosen['auc']:.3f}, adverse impact ratio {chosen['adverse_impact_ratio']:.2f}."
    return inline_svg(figure, key=key, alt=alt)
