"""The plot of a trial: who answered the customers over time, when it was found bad, and when it was taken back.

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
    VERMILLION,
    inline_svg,
    new_axes,
    new_figure,
)

Details = Mapping[str, Any]


def traffic_plot(details: Details, *, key: str = "traffic") -> str:
    """Share of the requests that the new release answered, over the seconds of its trial.

    Parameters
    ----------
    details
        Of a rollout: ``timeline`` [{t, weight_desired_pct, weight_observed_pct, canary_requests, canary_errors,
        ...}], ``phase``, ``first_bad_answer_s``, ``decided_s``, ``traffic_back_s`` (all in seconds since the
        trial began; None where it did not happen).
    """
    timeline = details["timeline"]
    times = [entry["t"] for entry in timeline]
    figure = new_figure(9.6, 3.3)
    axes = new_axes(figure)
    desired = [entry["weight_desired_pct"] for entry in timeline]
    observed = [(e["t"], e["weight_observed_pct"]) for e in timeline if e["weight_observed_pct"] is not None]
    good = details["phase"] == "Promoted"
    colour = BLUE if good else ORANGE
    axes.fill_between(times, desired, step="post", color=colour, alpha=0.18, linewidth=0)
    axes.step(times, desired, where="post", color=colour, label="Share it was given")
    axes.plot(*zip(*observed, strict=True), ".", color=INK, markersize=6, label="Share it was seen to answer") if (
        observed
    ) else None
    end = max([*times, details.get("traffic_back_s") or 0.0, 1.0])
    axes.set(xlim=(0, end * 1.02), ylim=(-2, 132), yticks=[0, 25, 50, 75, 100])
    axes.set_yticklabels([f"{tick} %" for tick in (0, 25, 50, 75, 100)])
    axes.set_xlabel("Seconds since the trial began")
    axes.set_ylabel("Requests to the new release")
    moments = _moments(details)
    _mark(axes, moments, end)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower right", ncols=2)
    highest = max(desired, default=0.0)
    alt = f"Traffic of the trial {details['name']}: the new release was given up to {highest:g} % of the requests. "
    alt += " ".join(f"{text} at {time:.1f} s." for time, text, _ in moments)
    return inline_svg(figure, key=key, alt=alt.strip())


def _moments(details: Details) -> list[tuple[float, str, str]]:
    """(seconds, words, colour) of what happened, in order of time."""
    ended = {"Promoted": ("promoted", GREEN), "RolledBack": ("decided to take it back", VERMILLION)}
    words, colour = ended.get(str(details["phase"]), ("given up", GREY))
    found = [
        (details.get("first_bad_answer_s"), "first bad answer", ORANGE),
        (details.get("decided_s"), words, colour),
        (details.get("traffic_back_s"), "all traffic back", BLUE),
    ]
    return sorted((float(time), text, colour) for time, text, colour in found if time is not None)


def _mark(axes: Any, moments: Sequence[tuple[float, str, str]], end: float) -> None:
    """Vertical lines with their words above the curve, on three levels so that near ones do not overlap."""
    for level, (time, text, colour) in enumerate(moments):
        height = 126 - 9.5 * level
        axes.plot([time, time], [0, height - 3], color=colour, linewidth=1.3)
        right = time > 0.72 * end
        axes.annotate(
            f"{text}, {time:.1f} s", (time, height), xytext=(-4 if right else 4, 0), textcoords="offset points",
            ha="right" if right else "left", va="center", color=colour, fontsize=9, fontweight="bold",
        )  # fmt: skip
