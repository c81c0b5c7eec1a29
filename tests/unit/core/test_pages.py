"""Pages that stand alone: nothing is loaded, everything is escaped, and a missing value is an error."""

from html.parser import HTMLParser
from pathlib import Path

import jinja2
import pytest

from tallystick.components.core.pages import (
    UNKNOWN,
    count,
    figure,
    interval,
    outcome_class,
    percent,
    render,
    short,
)
from tallystick.components.core.verdicts import Check, Outcome, Verdict

TEMPLATE = """{% extends "page.html.j2" %}
{% from "macros.html.j2" import banner, checks %}
{% block title %}{{ title }}{% endblock %}
{% block content %}{{ banner(verdict) }}{{ checks(verdict) }}{% endblock %}
"""


class _Tags(HTMLParser):
    """Collects what a page would load, and checks that elements close in order."""

    void = frozenset({"meta", "img", "br", "hr", "link", "rect", "path"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        self.loads += [tag] if tag in ("script", "link", "iframe", "object") else []
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void:
            assert self.open.pop() == tag


def page(folder: Path, verdict: Verdict, title: str = "T") -> str:
    (folder / "t.html.j2").write_text(TEMPLATE)
    return render("t.html.j2", folder, verdict=verdict, title=title)


def verdict(*checks: Check) -> Verdict:
    return Verdict(gate="g", subject_name="s", subject_sha256="0", checks=checks)


FAILED = Check(
    name="adverse_impact_ratio",
    outcome=Outcome.FAIL,
    detail="Black: <b>0.73</b>",
    subject="Black",
    figure=0.7312,
    interval=(0.66, 0.81),
    threshold=0.8,
    comparison=">=",
    count=1970,
    clause="clause A",
)


def test_page_loads_nothing_and_closes_what_it_opens(tmp_path: Path) -> None:
    tags = _Tags()
    tags.feed(page(tmp_path, verdict(FAILED)))
    assert tags.open == []
    assert tags.loads == []


def test_page_shows_the_check_and_escapes_it(tmp_path: Path) -> None:
    text = page(tmp_path, verdict(FAILED), title="<script>")
    assert "<script>" not in text
    assert "&lt;b&gt;0.73&lt;/b&gt;" in text
    for words in ("adverse impact ratio", "0.7312", "0.66 to 0.81", "at least 0.8", "1,970", "clause A"):
        assert words in text


def test_clause_that_serves_many_checks_is_printed_once(tmp_path: Path) -> None:
    assert page(tmp_path, verdict(FAILED, FAILED)).count("clause A") == 1


def test_missing_value_is_an_error_and_no_blank(tmp_path: Path) -> None:
    (tmp_path / "u.html.j2").write_text("{{ nobody }}")
    with pytest.raises(jinja2.UndefinedError, match="nobody"):
        render("u.html.j2", tmp_path)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.7312345, "0.7312"),
        (3, "3"),
        (3.0, "3"),
        (-7919.0, "-7,919"),
        (12345.6, "12,346"),
        (1.234e-5, "1.234e-05"),
        (1e20, "1e+20"),
        (None, UNKNOWN),
        (float("nan"), UNKNOWN),
        (float("inf"), UNKNOWN),
    ],
)
def test_figures_have_four_digits(value: float | None, text: str) -> None:
    assert figure(value) == text


def test_ratios_counts_intervals_and_digests() -> None:
    assert percent(0.8773) == "87.7 %"
    assert percent(None) == UNKNOWN
    assert count(1989) == "1,989"
    assert interval((0.7123, 0.83)) == "0.712 to 0.83"
    assert interval(None) == interval((float("nan"), 1.0)) == UNKNOWN
    assert short("sha256:" + "ab" * 32) == "abababababab"


@pytest.mark.parametrize(
    ("outcome", "style"),
    [("pass", "pass"), ("fail", "fail"), ("insufficient evidence", "insufficient"), (Outcome.RECORDED, "recorded")],
)
def test_outcomes_have_their_styles(outcome: str, style: str) -> None:
    assert outcome_class(outcome) == style
