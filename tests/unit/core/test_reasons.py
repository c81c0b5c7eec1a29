"""Principal reasons: adding up, order, ties, limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tallystick.components.core.errors import InputError
from tallystick.components.core.model_package import Interface
from tallystick.components.core.reasons import ReasonGroups
from tests.support.packages import REASONS, lending_features

# Encoded columns: income, loan_ratio (R01), late_payments, bankrupt (R02), years_employed, its missing (R03),
# purpose=home, =car, =other, =missing (R04).
INTERFACE = Interface(
    features=lending_features(),
    reasons=REASONS,
    threshold=0.5,
    maximum_reasons=4,
    shap="path_dependent",
    background_rows=100,
    additivity_tolerance=1e-6,
    outcome="the application was declined",
)


def told(*contributions: float, maximum: int = 4) -> list[tuple[str, float]]:
    groups = ReasonGroups(replace(INTERFACE, maximum_reasons=maximum))
    return [(reason.code, reason.contribution) for reason in groups.principal(np.array(contributions))]


def test_columns_of_one_reason_are_added_up() -> None:
    found = told(0.25, 0.5, 0, 0, 0.125, 0.125, 0, 0, 0, 0)
    assert found == [("R01", 0.75), ("R03", 0.25)]


def test_a_reason_whose_parts_cancel_is_not_told() -> None:
    assert told(0.5, -0.5, 0.1, 0, 0, 0, 0, 0, 0, 0) == [("R02", 0.1)]


def test_reasons_in_the_applicants_favour_are_not_told() -> None:
    assert told(-1.0, 0, 0.2, 0, -0.3, 0, 0, 0, 0.1, 0) == [("R02", 0.2), ("R04", 0.1)]


def test_a_row_that_nothing_made_worse_is_told_the_one_that_helped_least() -> None:
    assert told(-1.0, 0, -0.2, 0, -0.3, 0, 0, 0, -0.25, 0) == [("R02", -0.2)]


def test_ties_go_to_the_first_code_even_when_rounding_differs() -> None:
    assert [code for code, _ in told(0.3, 0, 0.1 + 0.2, 0, 0.3, 0, 0.3, 0, 0, 0)] == ["R01", "R02", "R03", "R04"]


@pytest.mark.parametrize("maximum", [1, 2, 3, 4])
def test_no_more_reasons_than_the_policy_allows(maximum: int) -> None:
    assert len(told(0.1, 0, 0.2, 0, 0.3, 0, 0.4, 0, 0, 0, maximum=maximum)) == maximum


def test_words_come_from_the_interface() -> None:
    (reason,) = ReasonGroups(INTERFACE).principal(np.array([1.0] + [0.0] * 9))
    assert reason.text == REASONS["R01"]


def test_a_reason_without_words_is_refused_when_the_model_is_loaded() -> None:
    with pytest.raises(InputError, match="no words for R03"):
        ReasonGroups(replace(INTERFACE, reasons={code: text for code, text in REASONS.items() if code != "R03"}))
