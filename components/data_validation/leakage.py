"""Finds features that know the outcome: columns that were filled in with the decision or after it.

Three signs, each a figure against the policy: one feature alone ranks the rows almost without error; a value
that many rows share has one outcome only; or having a value at all gives the outcome away. Nothing here knows
what a column means, and a leak that leaves none of these signs is for the contract's author to find.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tallystick.components.core.policy import DataRules
from tallystick.components.core.verdicts import Check, Outcome

MISSING, KNOWN = "no value", "any value"
_DISCRETE_VALUES = 50
_BINS = 20
_SMALLEST_LEVEL = 5
_NEIGHBOURS = 2
_LEAST_NEIGHBOURS = 100

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Level:
    """The rows that share one value (or have none, or have any): how many, and how many are adverse.

    ``expected_rate`` is the adverse rate that they are held against: of all rows, or of the nearest other values
    in a column of many different numbers, where an honest feature's rate changes from one end to the other.
    """

    value: str
    rows: int
    adverse: int
    expected_rate: float

    @property
    def p_value(self) -> float:
        """Chance that so many rows have one outcome only; 1.0 where both occur.

        Exact: ``(1 - rate)^rows`` for no adverse row, ``rate^rows`` for adverse rows only.
        """
        if self.adverse == 0:
            return float((1 - self.expected_rate) ** self.rows)
        return float(self.expected_rate**self.rows) if self.adverse == self.rows else 1.0


@dataclass(frozen=True, kw_only=True)
class Leakage:
    """What one column gives away.

    Attributes
    ----------
    auc
        How well the column alone ranks the rows, 0.5 to 1.0, whichever way it points.
    by
        What ranks them: ``order``, ``values`` or ``missingness``.
    level
        The most one-sided level, None where every level has both outcomes.
    p_value
        Of that level, times the number of levels looked at in all columns (Bonferroni), at most 1.
    """

    column: str
    auc: float
    by: str
    level: Level | None
    p_value: float


def leakage_of(table: pd.DataFrame, columns: Sequence[str], adverse: Integers, seed: int) -> tuple[Leakage, ...]:
    """Measure what each column gives away about the outcome.

    Parameters
    ----------
    columns
        Names in `table`; numbers, truth values, categories or text, with nulls where a value is missing.
    adverse
        The outcome, 0 or 1, shape (rows,), both of which occur.
    seed
        Of the split into halves in which values are ranked by the other half's outcomes: ranked by their own,
        a column of many rare values would seem to know everything.

    References
    ----------
    S. Kaufman, S. Rosset and C. Perlich, Leakage in data mining: formulation, detection, and avoidance,
    ACM Transactions on Knowledge Discovery from Data 6(4), 2012.
    """
    half = np.random.default_rng(seed).permutation(len(adverse)) % 2 == 0
    levels = {name: tuple(_levels(table[name], adverse)) for name in columns}
    looked_at = max(1, sum(len(found) for found in levels.values()))
    result = []
    for name in columns:
        worst = min(levels[name], key=lambda level: level.p_value, default=None)
        p_value = min(1.0, worst.p_value * looked_at) if worst else 1.0
        aucs = _aucs(table[name], adverse, half)
        by = max(aucs, key=lambda key: aucs[key])
        one_sided = worst if worst and worst.adverse in (0, worst.rows) else None
        result.append(Leakage(column=name, auc=aucs[by], by=by, level=one_sided, p_value=p_value))
    return tuple(result)


def _levels(values: pd.Series, adverse: Integers) -> Iterator[Level]:
    """Values that some rows share, and having or missing a value where both occur."""
    base = float(adverse.mean())
    missing = values.isna().to_numpy(dtype=bool)
    if missing.any() and not missing.all():
        for name, members in ((MISSING, missing), (KNOWN, ~missing)):
            yield Level(value=name, rows=int(members.sum()), adverse=int(adverse[members].sum()), expected_rate=base)
    known = values[~missing]
    ordered = _is_many_numbers(known)
    codes, found = pd.factorize(known, sort=ordered)
    distinct = np.asarray(found, dtype=object)
    rows = np.bincount(codes, minlength=len(distinct))
    bad = np.bincount(codes, weights=adverse[~missing], minlength=len(distinct))
    rates = _neighbours_rates(rows, bad.astype(np.float64), base) if ordered else np.full(len(distinct), base)
    for place in np.flatnonzero(rows >= _SMALLEST_LEVEL):
        yield Level(
            value=str(distinct[place]),
            rows=int(rows[place]),
            adverse=int(bad[place]),
            expected_rate=float(rates[place]),
        )


def _is_many_numbers(values: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(values.dtype)) and values.nunique() > _DISCRETE_VALUES


def _neighbours_rates(rows: Integers, bad: Floats, base: float) -> Floats:
    """Adverse rate around each of the rising values, on both sides, without the value itself; shape (values,).

    On each side lie about twice the value's own rows, and a hundred at the least. One row at the base rate is
    added, so that the rate is never 0 or 1.
    """
    last = np.cumsum(rows)
    first = last - rows
    bad_before = np.concatenate([[0.0], np.cumsum(bad)])
    reach = np.maximum(_LEAST_NEIGHBOURS, _NEIGHBOURS * rows)
    # Values whose first row lies within reach below, and whose last row lies within reach above.
    low = np.searchsorted(first, first - reach, side="left")
    high = np.searchsorted(last, last + reach, side="right")
    rows_before = np.concatenate([[0], last])
    around = rows_before[high] - rows_before[low] - rows
    adverse_around = bad_before[high] - bad_before[low] - bad
    return np.asarray((adverse_around + base) / (around + 1.0), dtype=np.float64)


def _aucs(values: pd.Series, adverse: Integers, half: npt.NDArray[np.bool_]) -> dict[str, float]:
    known = values.notna().to_numpy(dtype=bool)
    aucs = {} if known.all() else {"missingness": _auc((~known).astype(np.float64), adverse)}
    codes = _coded(values)
    if pd.api.types.is_numeric_dtype(values.dtype):
        numbers = np.asarray(values[known], dtype=np.float64)
        aucs["order"] = _auc(numbers, adverse[known])
    aucs["values"] = _auc_of_values(codes, adverse, half)
    return aucs


def _coded(values: pd.Series) -> Integers:
    """Each row's value as a small number; many different numbers as twenty bins; missing as one more."""
    if _is_many_numbers(values):
        numbers = values.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
        edges = np.unique(np.nanquantile(numbers, np.arange(1, _BINS) / _BINS))
        return np.where(np.isnan(numbers), len(edges) + 1, np.searchsorted(edges, numbers, side="left"))
    codes, distinct = pd.factorize(values)
    return np.where(codes < 0, len(distinct), codes).astype(np.int64)


def _auc_of_values(codes: Integers, adverse: Integers, half: npt.NDArray[np.bool_]) -> float:
    """AUC of the adverse rates of values, each half ranked by the other half's; the mean of the two."""
    base = float(adverse.mean())
    found = []
    for side in (half, ~half):
        rows = np.bincount(codes[~side], minlength=int(codes.max()) + 1)
        bad = np.bincount(codes[~side], weights=adverse[~side], minlength=int(codes.max()) + 1)
        rates = (bad + base) / (rows + 1.0)
        ranked = rates[codes[side]]
        both = 0 < adverse[side].sum() < side.sum()
        found.append(_directed_auc(ranked, adverse[side]) if both else 0.5)
    return float(np.mean(found))


def _auc(scores: Floats, adverse: Integers) -> float:
    """AUC whichever way the score points; 0.5 where one outcome is not there."""
    if not 0 < adverse.sum() < len(adverse):
        return 0.5
    auc = _directed_auc(scores, adverse)
    return max(auc, 1.0 - auc)


def _directed_auc(scores: Floats, adverse: Integers) -> float:
    """Mann-Whitney with mid-ranks for ties."""
    ranks = pd.Series(scores).rank().to_numpy()
    positive = int(adverse.sum())
    negative = len(adverse) - positive
    return float((ranks[adverse == 1].sum() - positive * (positive + 1) / 2) / (positive * negative))


def leakage_checks(found: Sequence[Leakage], rules: DataRules) -> list[Check]:
    """Judge the features: at or above ``leakage_auc``, or below ``leakage_p_value``, is a leak."""
    checks = [check for leak in found for check in _objections(leak, rules)]
    if not checks and found:
        most = max(found, key=lambda leak: leak.auc)
        checks.append(
            Check(
                name="leakage_auc",
                outcome=Outcome.PASS,
                subject=most.column,
                figure=most.auc,
                threshold=rules.leakage_auc,
                comparison="<=",
                detail=f"no feature alone knows the outcome: the nearest is {most.column}, AUC {most.auc:.3f}",
                clause=rules.clause,
            )
        )
        checks.append(_least_likely(found, rules))
    return checks


def _least_likely(found: Sequence[Leakage], rules: DataRules) -> Check:
    rarest = min(found, key=lambda leak: leak.p_value)
    return Check(
        name="leakage_one_sided",
        outcome=Outcome.PASS,
        subject=rarest.column,
        figure=rarest.p_value,
        threshold=rules.leakage_p_value,
        comparison=">=",
        detail="no value that many rows share has one outcome only, beyond what chance explains",
        clause=rules.clause,
    )


def _objections(leak: Leakage, rules: DataRules) -> Iterator[Check]:
    todo = "give the column the role excluded if it is known only with the decision or after it"
    if leak.auc >= rules.leakage_auc:
        what = {"order": "its order", "values": "its values", "missingness": "whether it has a value"}[leak.by]
        same = "is the target under another name" if leak.auc == 1.0 else "almost knows the target"
        yield Check(
            name="leakage_auc",
            outcome=Outcome.FAIL,
            subject=leak.column,
            figure=leak.auc,
            threshold=rules.leakage_auc,
            comparison="<=",
            detail=f"column {leak.column} {same}: ranked by {what} alone, the AUC is {leak.auc:.3f}; "
            f"allowed: below {rules.leakage_auc:g} (policy: data.leakage_auc); {todo}",
            clause=rules.clause,
        )
    if leak.level and leak.p_value < rules.leakage_p_value:
        outcome = "none of them adverse" if leak.level.adverse == 0 else "all of them adverse"
        yield Check(
            name="leakage_one_sided",
            outcome=Outcome.FAIL,
            subject=leak.column,
            figure=leak.p_value,
            threshold=rules.leakage_p_value,
            comparison=">=",
            count=leak.level.rows,
            detail=f"column {leak.column}: {leak.level.rows:,} rows have {leak.level.value}, {outcome}; chance gives "
            f"that with p = {leak.p_value:.2g}; allowed: p at least {rules.leakage_p_value:g} over all values "
            f"(policy: data.leakage_p_value); {todo}",
            clause=rules.clause,
        )


def excluded_checks(found: Sequence[Leakage], rules: DataRules) -> list[Check]:
    """Excluded columns that would have been refused as features: recorded, as the reason to exclude them."""
    return [
        Check(
            name="excluded_leak",
            outcome=Outcome.RECORDED,
            subject=check.subject,
            figure=check.figure,
            count=check.count,
            detail=f"{check.detail.split('; allowed')[0]} (excluded by the contract)",
        )
        for leak in found
        for check in _objections(leak, rules)
    ]
