import numpy as np
import pytest
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

from tallystick.components.core.measures.fairness import group_figures
from tallystick.components.core.measures.intervals import koopman, newcombe, wilson


def counted(cells):
    """Rows from {(group, favourable, approved): count}."""
    rows = [(g, f, a) for (g, f, a), count in cells.items() for _ in range(count)]
    groups = np.array([row[0] for row in rows], dtype=object)
    return groups, np.array([bool(row[2]) for row in rows]), np.array([bool(row[1]) for row in rows])


# white: 80 of 100 approved (75 of 80 favourable, 5 of 20 adverse); Black: 12 of 20 (11 of 15, 1 of 5).
CELLS = {
    ("white", 1, 1): 75, ("white", 1, 0): 5, ("white", 0, 1): 5, ("white", 0, 0): 15,
    ("Black", 1, 1): 11, ("Black", 1, 0): 4, ("Black", 0, 1): 1, ("Black", 0, 0): 4,
}  # fmt: skip


def figures(cells=CELLS, names=("white", "Black")):
    groups, approved, favourable = counted(cells)
    return group_figures(groups, approved, favourable, names=names, reference="white")


def test_rates_and_ratios_by_hand():
    white, black = figures()
    assert (white.rows, white.approved, white.approval_rate) == (100, 80, 0.8)
    assert white.interval == wilson(80, 100)
    assert white.adverse_impact_ratio is None
    assert black.approval_rate == pytest.approx(0.6)
    assert black.adverse_impact_ratio == pytest.approx(0.75)
    assert black.ratio_interval == koopman(12, 20, 80, 100)
    assert black.demographic_parity_difference == pytest.approx(0.2)
    assert black.approved_of_favourable == pytest.approx(11 / 15)
    assert black.approved_of_adverse == pytest.approx(1 / 5)


def test_equalised_odds_is_the_greater_of_two_distances():
    _, black = figures()
    assert black.equalised_odds_difference == pytest.approx(75 / 80 - 11 / 15)
    low, high = newcombe(11, 15, 75, 80)
    assert black.equalised_odds_interval == pytest.approx((0.0 if high >= 0 else -high, -low))


def test_two_groups_agree_with_fairlearns_own_summary():
    groups, approved, favourable = counted(CELLS)
    _, black = figures()
    assert black.demographic_parity_difference == pytest.approx(
        demographic_parity_difference(favourable, approved, sensitive_features=groups)
    )
    assert black.equalised_odds_difference == pytest.approx(
        equalized_odds_difference(favourable, approved, sensitive_features=groups)
    )


def test_a_group_without_rows_has_no_figures_and_no_warning():
    *_, nobody = figures(names=("white", "Black", "nobody"))
    assert nobody.rows == 0
    assert nobody.approval_rate is None
    assert nobody.interval is None
    assert nobody.adverse_impact_ratio is None
    assert nobody.equalised_odds_difference is None


def test_a_group_without_an_adverse_outcome_has_no_equalised_odds_rather_than_fairlearns_nought():
    cells = {key: count for key, count in CELLS.items() if key[:2] != ("Black", 0)}
    _, black = figures(cells)
    assert black.approved_of_adverse is None
    assert black.equalised_odds_difference is None
    assert black.adverse_impact_ratio == pytest.approx((11 / 15) / 0.8)


def test_no_ratio_when_nobody_of_the_reference_is_approved():
    _, black = figures({("white", 1, 0): 10, ("Black", 1, 1): 5})
    assert black.adverse_impact_ratio is None
    assert black.ratio_interval is None
    assert black.demographic_parity_difference == 1.0


def test_equal_rates_are_parity():
    _, black = figures({("white", 1, 1): 90, ("white", 0, 0): 10, ("Black", 1, 1): 9, ("Black", 0, 0): 1})
    assert black.adverse_impact_ratio == 1.0
    assert black.demographic_parity_difference == 0.0
    assert black.equalised_odds_difference == 0.0
    assert black.demographic_parity_interval[0] == 0.0
