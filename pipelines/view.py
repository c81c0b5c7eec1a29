"""What a person sees while a run goes on: a live picture in a terminal, plain lines elsewhere.

It only shows events of the journal; it decides nothing and reads nothing else.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

TITLES = {
    "data_validation": "data checked against its contract",
    "training": "candidates trained",
    "fairness_gate_plain": "fairness of the plain model",
    "alternatives": "search for a less discriminatory alternative",
    "evaluation": "performance on applications never seen",
    "fairness_gate": "fairness of the chosen model",
    "explainability": "reasons proved",
    "model_card": "model card written",
    "registration": "registered",
    "rollout": "trial on live traffic",
    "rollout-errors": "a bad build: answers errors",
    "rollout-slow": "a bad build: slow",
    "rollout-shifted": "a bad build: scores shifted",
    "release_record": "record written",
}
_ICONS = {
    "waiting": ("·", "dim"),
    "running": ("▶", "cyan"),
    "done": ("✔", "green"),
    "refused": ("✘", "yellow"),
    "failed": ("✖", "red"),
}
_BAR_CELLS = 30


@dataclass
class _Step:
    state: str = "waiting"
    began: float = 0.0
    ended: float = 0.0
    line: str = ""
    doing: str = ""
    fraction: float | None = None
    traffic: list[dict[str, Any]] = field(default_factory=list)


class View:
    """Shows a run; use as a context manager, and call with each event."""

    def __init__(self, console: Console, steps: tuple[str, ...], heading: str) -> None:
        self._console, self._heading = console, heading
        self._steps = {name: _Step() for name in steps}
        self._live = Live(self, console=console, refresh_per_second=8) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.__enter__()
        else:
            self._console.print(self._heading)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.__exit__(kind, error, trace)

    def __rich__(self) -> RenderableType:
        """The picture of this moment."""
        table = Table.grid(padding=(0, 1))
        table.add_column(width=1)
        table.add_column(min_width=46)
        table.add_column(justify="right", width=7)
        table.add_column(ratio=1, overflow="fold")
        for name, step in self._steps.items():
            icon, style = _ICONS[step.state]
            table.add_row(
                Text(icon, style), Text(TITLES.get(name, name), _style_of_title(step)), _elapsed(step), _line(step)
            )
        trials = [(name, step) for name, step in self._steps.items() if step.traffic and step.state == "running"]
        parts: list[RenderableType] = [Text(self._heading, "bold"), table]
        parts += [_traffic_panel(name, step.traffic[-1]) for name, step in trials]
        return Group(*parts)

    def __call__(self, event: dict[str, Any]) -> None:
        """Take one event of the journal."""
        name = event.get("rollout") or event["step"]
        step = self._steps.get(name)
        if step is None:
            return
        _apply(step, event)
        if self._live is None:
            self._say(name, step, event)

    def _say(self, name: str, step: _Step, event: dict[str, Any]) -> None:
        """One plain line an event that matters, for logs and pipes."""
        title = TITLES.get(name, name)
        if event["kind"] == "traffic":
            previous = step.traffic[-2] if len(step.traffic) > 1 else {}
            if previous.get("phase") != event.get("phase") or previous.get("weight_desired_pct") != event.get(
                "weight_desired_pct"
            ):
                self._console.print(f"    {_traffic_line(event)}", markup=False, highlight=False, soft_wrap=True)
        elif event["kind"] in ("finished", "failed"):
            icon = _ICONS[step.state][0]
            seconds = f"{step.ended - step.began:.1f} s"
            self._console.print(
                f"{icon} {title} ({seconds}) {step.line}", markup=False, highlight=False, soft_wrap=True
            )


def _apply(step: _Step, event: dict[str, Any]) -> None:
    kind = event["kind"]
    if kind == "started":
        step.state, step.began = "running", event["time"]
    elif kind == "progress":
        step.fraction, step.doing = event["done"], event["text"]
    elif kind == "verdict":
        step.line = _without_gate(event["verdict"])
        step.fraction = None
        if event["verdict"]["outcome"] != "pass":
            step.state = "refused"
    elif kind == "outcome":
        step.line = event["text"]
        if not event.get("good", True):
            step.state = "refused"
    elif kind == "traffic":
        step.traffic.append(event)
        step.state = "running"
        step.began = step.began or event["time"]
    elif kind == "failed":
        step.state, step.ended, step.line = "failed", event["time"], event["message"]
    elif kind == "finished":
        step.ended = event["time"]
        step.fraction = None
        step.state = "refused" if step.state == "refused" else "done"


def _without_gate(verdict: dict[str, Any]) -> str:
    """The verdict's sentence; the title names the gate already."""
    return str(verdict["summary"]).removeprefix(f"{verdict.get('gate', '')}: ")


def _style_of_title(step: _Step) -> str:
    return {"waiting": "dim", "running": "bold cyan", "failed": "red"}.get(step.state, "")


def _elapsed(step: _Step) -> Text:
    if not step.began:
        return Text("")
    return Text(f"{(step.ended or time.time()) - step.began:.1f} s", "dim")


def _line(step: _Step) -> Text:
    text = step.line
    if step.state == "running" and step.fraction is not None:
        filled = round(step.fraction * 10)
        text = f"{'━' * filled}{'╌' * (10 - filled)} {step.doing}"
    return Text(text, "red" if step.state == "failed" else "yellow" if step.state == "refused" else "")


def _traffic_panel(name: str, event: dict[str, Any]) -> Panel:
    canary_cells = round(_BAR_CELLS * (event.get("weight_observed_pct") or 0.0) / 100)
    bar = Text()
    bar.append("█" * (_BAR_CELLS - canary_cells), "blue")
    bar.append("█" * canary_cells, "magenta")
    return Panel(
        Group(bar, Text(_traffic_line(event))),
        title=f"{TITLES.get(name, name)}: {event.get('phase', '')}",
        subtitle="blue: version in service, magenta: the trial",
        width=100,
    )


def _traffic_line(event: dict[str, Any]) -> str:
    observed = event.get("weight_observed_pct")
    seen = "-" if observed is None else f"{observed:.0f} %"
    return (
        f"{event.get('phase', '')}: trial wanted {event.get('weight_desired_pct', 0):.0f} %, seen {seen}; "
        f"answers {event.get('canary_requests', 0)} trial / {event.get('baseline_requests', 0)} in service, "
        f"errors {event.get('canary_errors', 0)} / {event.get('baseline_errors', 0)}; {event.get('reason', '')}"
    )
