"""The plot of a trial: who answered the customers over time, when it was found bad, and when it was taken back.

Part of plots.py, apart for its length.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    desired = [entry["weight_desired_pct"] for entry in timeline]
    observed = [(e["t"], e["weight_observed_pct"]) for e in timeline if e["weight_observed_pct"] is not None]
    figure = new_figure(10.8, 3.4)
    axes = new_axes(figure)
    colour = BLUE if details["phase"] == "Promoted" else ORANGE
    axes.fill_between(times, desired, step="post", color=colour, alpha=0.18, linewidth=0)
    axes.step(times, desired, where="post", color=colour, label="Share it was given")
    if observed:
        axes.plot(*zip(*observed, strict=True), ".", color=INK, markersize=6, label="Share it was seen to answer")
    top = 100 if max([0.0, *desired, *(share for _, share in observed)]) > 50 else 50
    end = max([*times, all_back_s(details) or 0.0, 1.0])
    _mark(axes, details, end, top)
    axes.set(
        xlim=(0, end * 1.02), ylim=(-0.02 * top, 1.34 * top), yticks=range(0, top + 1, top // 4 if top > 50 else 10)
    )
    axes.yaxis.set_major_formatter(lambda value, _position: f"{value:g} %")
    axes.set_xlabel("Seconds since the trial began")
    axes.set_ylabel("Requests to the new release")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower right", ncols=3, frameon=False)
    alt = (
        f"Traffic of the trial {details['name']}: the new release was given up to {max(desired, default=0):g} % of the "
    )
    alt += "requests. " + " ".join(f"{text} at {time:.1f} s." for time, text, _ in _moments(details))
    return inline_svg(figure, key=key, alt=alt.strip())


def all_back_s(details: Details) -> float | None:
    """When all traffic was back: the last request to the new release, and not before it was decided."""
    if details.get("traffic_back_s") is None:
        return None
    return max(float(details["traffic_back_s"]), float(details.get("decided_s") or 0.0))


def _moments(details: Details) -> list[tuple[float, str, str]]:
    """(seconds, words, colour) of what happened, in order of time."""
    ended = {"Promoted": ("promoted", GREEN), "RolledBack": ("decided to take it back", VERMILLION)}
    words, colour = ended.get(str(details["phase"]), ("given up", GREY))
    found = [
        (details.get("first_bad_answer_s"), "first bad answer", "#8a5a00"),
        (details.get("decided_s"), words, colour),
        (all_back_s(details), "all traffic back", BLUE),
    ]
    known = [(float(time), text, colour) for time, text, colour in found if time is not None]
    return sorted(known, key=lambda moment: moment[0])


def _mark(axes: Any, details: Details, end: float, top: float) -> None:
    """Vertical lines with their words above the curve, on three levels so that near ones do not overlap."""
    first, back = details.get("first_bad_answer_s"), all_back_s(details)
    if first is not None and back is not None:
        axes.axvspan(
            first, back, color=VERMILLION, alpha=0.07, linewidth=0, label="First bad answer to all traffic back"
        )
    for level, (time, text, colour) in enumerate(_moments(details)):
        height = (1.27 - 0.1 * level) * top
        axes.plot([time, time], [0, height - 0.03 * top], color=colour, linewidth=1.3)
        right = time > 0.72 * end
        axes.annotate(
            f"{text}, {time:.1f} s", (time, height), xytext=(-4 if right else 4, 0), textcoords="offset points",
            ha="right" if right else "left", va="center", color=colour, fontsize=9, fontweight="bold",
        )  # fmt: skip
