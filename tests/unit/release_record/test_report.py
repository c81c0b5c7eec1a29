"""The report: what it must show, that it stands alone, and that a run which stopped early has one too."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from tallystick.components.core.errors import ExitCode
from tallystick.components.core.statements import verdict_of
from tallystick.components.release_record.logic import build_report, build_summary
from tallystick.components.release_record.words import holdout_notes
from tests.support.statements import CHOSEN, PLAIN, RUN, rollout, sample_statements
from tests.unit.release_record.test_summary import ORDER, until

VOID = {"meta", "br", "img", "path", "use", "rect", "circle", "line", "link", "hr"}


class Page(HTMLParser):
    """Checks that tags nest, and collects identifiers, addresses and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        values = dict(attributes)
        self.ids += [values["id"]] if "id" in values else []
        self.addresses += [values[key] for key in ("src", "href", "xlink:href", "data", "action") if key in values]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "title"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def report_of(statements, **options) -> str:
    return build_report(statements, build_summary(statements, run_id=RUN, **options))


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(report_of(sample_statements(), seconds=71.2))


def test_the_page_is_well_formed_and_needs_nothing_from_outside(page):
    assert page.open == []
    assert all(address.startswith("#") for address in page.addresses)
    assert not page.tags & {"script", "iframe", "link", "object", "embed"}
    text = report_of(sample_statements())
    assert "@import" not in text
    assert re.findall(r"url\((?!#)", text) == []


def test_no_identifier_stands_twice_and_every_reference_is_met(page):
    assert len(page.ids) == len(set(page.ids))
    assert {address.removeprefix("#") for address in page.addresses} <= set(page.ids)


def test_the_headline_says_what_was_released_and_what_was_refused(page):
    assert "Released: “boosting-fewer-features” passed every gate and its trial on live traffic." in page.text
    assert "“boosting”, was refused: its adverse impact ratio for Black applicants is 0.73" in page.text


def test_every_section_and_plot_of_a_whole_run_is_there(page):
    for heading in (
        "The path through the gates",
        "Are the groups treated alike?",
        "Was there a fairer model?",
        "How accurate is it?",
        "What moves the score, and what applicants are told",
        "How it did on traffic",
        "What exactly this speaks of",
        "Terms",
    ):
        assert heading in page.text
    labels = re.findall(r'<svg class="plot" role="img" aria-label="([^"]+)"', report_of(sample_statements()))
    assert len(labels) == 9  # groups twice, alternatives, ROC, calibration, summary, importances, two trials
    assert any("0.73" in label and "Black" in label for label in labels)


def test_the_figures_that_matter_stand_in_the_text(page):
    assert "0.878" in page.text
    assert "0.830 to 0.921" in page.text
    assert CHOSEN in page.text
    assert "A public record shows a default or bankruptcy" in page.text
    assert "From the first bad answer until all traffic was back: 6.7 s" in page.text
    assert "all traffic back, 7.9 s" in page.text


def test_a_ratio_below_the_line_on_the_hold_out_data_is_not_passed_over():
    statements = sample_statements()
    assert holdout_notes(verdict_of(statements["fairness_gate"])) == []
    gate = statements["fairness_gate"]["predicate"]
    gate["checks"] += (
        {**gate["checks"][0], "sample": "holdout", "figure": 0.74, "interval": [0.6, 0.88], "detail": "Black: 0.74"},
    )
    assert "Black: 0.74." in Page(report_of(statements)).text.split("To be seen here")[1]


def test_the_same_statements_give_the_same_bytes():
    assert report_of(sample_statements()) == report_of(dict(reversed(sample_statements().items())))


@pytest.mark.parametrize("step", ORDER)
def test_a_run_that_stopped_early_has_a_page_of_what_there_is(step):
    text = report_of(until(step), exit_code=ExitCode.BROKE, message="out of memory")
    found = Page(text)
    assert found.open == []
    assert "The run broke: out of memory" in found.text
    assert ("not reached" in found.text) == (step not in ("rollout", "rollout-errors"))
    assert ("How it did on traffic" in found.text) == step.startswith("rollout")
    assert "None" not in found.text


def test_a_run_without_any_statement_has_a_page():
    found = Page(report_of({}, exit_code=ExitCode.INTERRUPTED))
    assert "Interrupted before any step had ended; nothing was released." in found.text


def test_a_release_that_was_taken_back_is_marked_on_its_plot():
    text = report_of(until("registration") | {"rollout": rollout("rollout", fault="answering errors")})
    assert "Rolled back: boosting-fewer-features-1a2b3c4d5e was taken back" in text
    assert "decided to take it back, 7.3 s" in text


def test_a_plain_model_that_was_fair_enough_is_drawn_once():
    statements = sample_statements()
    statements["fairness_gate_plain"] = statements["fairness_gate"]
    statements["alternatives"]["predicate"].update(searched=False, alternatives=[])
    text = Page(report_of(statements)).text
    assert "no alternative was looked for" in text
    assert "Plain model" not in text.split("Are the groups treated alike?")[1].split("Was there a fairer model?")[0]
    assert PLAIN not in text


def test_a_model_that_serves_already_is_told_as_such():
    statements = sample_statements()
    statements["registration"]["predicate"].update(is_new=False, aliases={"champion": "2", "candidate": "2"})
    text = Page(report_of(statements)).text
    assert "tried against version 2; this very model had been registered before, and is the one in service" in text


def test_words_from_outside_are_text_and_never_markup():
    statements = sample_statements()
    statements["rollout"]["predicate"]["reason"] = "<img src=x onerror=alert(1)>"
    statements["explainability"]["predicate"]["details"]["importances"][0]["meaning"] = "<b onclick=x>5 & more</b>"
    text = report_of(statements)
    assert "<img src=x" not in text
    assert "<b onclick" not in text
    assert Page(text).open == []
