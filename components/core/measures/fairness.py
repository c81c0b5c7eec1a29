"""How the decisions fall on the groups of one sensitive attribute, each against its reference group.

Rates come from fairlearn; what fairlearn answers for a group that has no row to count (0, silently) is None
here. Nothing is judged: lines are the policy's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tallystick.components.core.measures.intervals import Interval, koopman, newcombe, wilson
from tallystick.components.core.verdicts import finite

Booleans = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.object_]


@dataclass(frozen=True, kw_only=True)
class GroupFigures:
    """One group's decisions; a figure is None where it is undefined. Intervals are 95 %.

    Attributes
    ----------
    adverse_impact_ratio
        Approval rate over the reference's: 1.0 is parity. None for the reference itself.
    demographic_parity_difference
        Distance of the approval rate from the reference's, 0.0 is parity.
    equalised_odds_difference
        The greater distance of the approval rates among those with a favourable and among those with an adverse
        outcome, 0.0 is parity.
    """

    group: str
    rows: int
    approved: int
    approval_rate: float | None
    interval: Interval | None
    approved_of_favourable: float | None
    approved_of_adverse: float | None
    adverse_impact_ratio: float | None = None
    ratio_interval: Interval | None = None
    demographic_parity_difference: float | None = None
    demographic_parity_interval: Interval | None = None
    equalised_odds_difference: float | None = None
    equalised_odds_interval: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class _Counts:
    rows: int
    approved: int
    favourable: int
    approved_of_favourable: int
    rates: tuple[float | None, float | None, float | None]  # of all, of favourable, of adverse

    @property
    def adverse(self) -> int:
        return self.rows - self.favourable

    @property
    def approved_of_adverse(self) -> int:
        return self.approved - self.approved_of_favourable


def group_figures(
    groups: Labels, approved: Booleans, favourable: Booleans, *, names: tuple[str, ...], reference: str
) -> tuple[GroupFigures, ...]:
    """Figures of every named group, in the order of `names`; a name without a row has rows 0 and no figures.

    Parameters
    ----------
    groups, approved, favourable
        Group, decision and outcome of each row, shape (rows,).
    reference
        The group that the others are compared with.

    References
    ----------
    Uniform Guidelines on Employee Selection Procedures, 29 CFR 1607.4 D (the ratio's origin);
    Hardt, Price and Srebro (2016), Equality of Opportunity in Supervised Learning; fairlearn.metrics.
    """
    base = _count(groups == reference, approved, favourable)
    return tuple(
        _figures(name, _count(groups == name, approved, favourable), base, name == reference) for name in names
    )


def _count(members: Booleans, approved: Booleans, favourable: Booleans) -> _Counts:
    from fairlearn.metrics import selection_rate

    def rate(rows: Booleans) -> float | None:
        return float(selection_rate(outcomes[rows], decisions[rows])) if rows.any() else None

    decisions, outcomes = approved[members].astype(np.int64), favourable[members].astype(np.int64)
    rows, good = len(decisions), int(outcomes.sum())
    return _Counts(
        rows=rows,
        approved=int(decisions.sum()),
        favourable=good,
        approved_of_favourable=int((decisions * outcomes).sum()),
        # The true and the false positive rate are selection rates among those of one outcome; fairlearn's own
        # functions for them build a confusion matrix each, fifty times slower, and answer 0 where there is none.
        rates=(rate(np.ones(rows, dtype=bool)), rate(outcomes == 1), rate(outcomes == 0)),
    )


def _figures(name: str, own: _Counts, base: _Counts, is_reference: bool) -> GroupFigures:
    rate, of_favourable, of_adverse = own.rates
    values: dict[str, Any] = {
        "group": name,
        "rows": own.rows,
        "approved": own.approved,
        "approval_rate": rate,
        "interval": _finite(wilson(own.approved, own.rows)),
        "approved_of_favourable": of_favourable,
        "approved_of_adverse": of_adverse,
    }
    base_rate = base.rates[0]
    if is_reference or rate is None or base_rate is None:
        return GroupFigures(**values)
    if base_rate > 0.0:
        values["adverse_impact_ratio"] = rate / base_rate
        values["ratio_interval"] = _finite(koopman(own.approved, own.rows, base.approved, base.rows))
    values["demographic_parity_difference"] = abs(rate - base_rate)
    values["demographic_parity_interval"] = _distance(newcombe(own.approved, own.rows, base.approved, base.rows))
    values["equalised_odds_difference"], values["equalised_odds_interval"] = _equalised_odds(own, base)
    return GroupFigures(**values)


def _equalised_odds(own: _Counts, base: _Counts) -> tuple[float | None, Interval | None]:
    (_, good, bad), (_, base_good, base_bad) = own.rates, base.rates
    if good is None or bad is None or base_good is None or base_bad is None:
        return None, None
    of_good = newcombe(own.approved_of_favourable, own.favourable, base.approved_of_favourable, base.favourable)
    of_bad = newcombe(own.approved_of_adverse, own.adverse, base.approved_of_adverse, base.adverse)
    first, second = abs(good - base_good), abs(bad - base_bad)
    return (first, _distance(of_good)) if first >= second else (second, _distance(of_bad))


def _distance(interval: Interval) -> Interval | None:
    """The interval of a difference's absolute value."""
    low, high = interval
    if finite(low) is None or finite(high) is None:
        return None
    return (0.0 if low <= 0.0 <= high else min(abs(low), abs(high)), max(abs(low), abs(high)))


def _finite(interval: Interval) -> Interval | None:
    return None if finite(interval[0]) is None or finite(interval[1]) is None else interval
