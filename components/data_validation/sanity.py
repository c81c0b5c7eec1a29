"""Whether there is enough data, and whether every column says something: the questions before any model."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tallystick.components.core.contract import Column, Contract
from tallystick.components.core.frames import adverse_outcomes, groups
from tallystick.components.core.policy import DataRules, FairnessRules
from tallystick.components.core.verdicts import Check, Outcome, compare
from tallystick.components.data_validation.conformity import first_rows, rows_text


def target_checks(table: pd.DataFrame, contract: Contract, rules: DataRules) -> list[Check]:
    """Both outcomes are there, and there are enough rows and adverse rows to learn and to judge from."""
    target = contract.target
    adverse = adverse_outcomes(table, contract)
    found = int(adverse.sum())
    favourable = int((table[target.column] == target.favourable).sum())
    both = min(found, favourable)
    return [
        Check(
            name="target_outcomes",
            outcome=Outcome.PASS if both else Outcome.FAIL,
            subject=target.column,
            figure=float(both),
            threshold=1.0,
            comparison=">=",
            count=len(table),
            detail=f"column {target.column}: {found:,} rows hold {target.adverse!r} ({target.meaning}) and "
            f"{favourable:,} hold {target.favourable!r}; allowed: both outcomes occur",
            clause=rules.clause,
        ),
        _enough("rows", len(table), rules.minimum_rows, "rows", "data.minimum_rows", rules.clause),
        _enough(
            "adverse_rows",
            found,
            rules.minimum_adverse,
            f"rows where {target.meaning}",
            "data.minimum_adverse",
            rules.clause,
        ),
    ]


def _enough(name: str, found: int, least: int, of_what: str, field: str, clause: str) -> Check:
    return Check(
        name=name,
        outcome=Outcome.PASS if found >= least else Outcome.INSUFFICIENT,
        figure=float(found),
        threshold=float(least),
        comparison=">=",
        count=found,
        detail=f"{found:,} {of_what}; allowed: at least {least:,} (policy: {field})",
        clause=clause,
    )


def column_checks(table: pd.DataFrame, contract: Contract, rules: DataRules) -> list[Check]:
    """No feature is empty or constant, and no feature or sensitive column misses more than the policy allows."""
    checks: list[Check] = []
    judged = [column for column in contract.columns if column.role in ("feature", "sensitive")]
    for column in judged:
        values = table[column.name]
        missing = float(values.isna().mean())
        if missing == 1.0:
            checks.append(_empty(column, len(table), rules))
        elif column.nullable and missing > rules.maximum_missing:
            checks.append(_mostly_missing(column, missing, len(table), rules))
        if column.role == "feature" and values.nunique() == 1:
            checks.append(_constant(column, values, rules))
    if not checks:
        largest = max(float(table[column.name].isna().mean()) for column in judged)
        checks.append(
            Check(
                name="missing_share",
                outcome=Outcome.PASS,
                figure=largest,
                threshold=rules.maximum_missing,
                comparison="<=",
                count=len(table),
                detail=f"no feature is empty or the same in every row; at most {largest:.1%} of a column is missing",
                clause=rules.clause,
            )
        )
    return checks


def _empty(column: Column, rows: int, rules: DataRules) -> Check:
    return Check(
        name="missing_share",
        outcome=Outcome.FAIL,
        subject=column.name,
        figure=1.0,
        threshold=rules.maximum_missing,
        comparison="<=",
        count=rows,
        detail=f"column {column.name}: has no value in any row; allowed: values, or the role excluded",
        clause=rules.clause,
    )


def _mostly_missing(column: Column, missing: float, rows: int, rules: DataRules) -> Check:
    return Check(
        name="missing_share",
        outcome=compare(missing, "<=", rules.maximum_missing),
        subject=column.name,
        figure=missing,
        threshold=rules.maximum_missing,
        comparison="<=",
        count=rows,
        detail=f"column {column.name}: {missing:.1%} of the rows have no value; "
        f"allowed: at most {rules.maximum_missing:.1%} (policy: data.maximum_missing)",
        clause=rules.clause,
    )


def _constant(column: Column, values: pd.Series, rules: DataRules) -> Check:
    return Check(
        name="constant",
        outcome=Outcome.FAIL,
        subject=column.name,
        figure=1.0,
        threshold=2.0,
        comparison=">=",
        count=int(values.notna().sum()),
        detail=f"column {column.name}: holds {values.dropna().iloc[0]!s} in every row that has a value; "
        "allowed: at least two values, or the role excluded",
        clause=rules.clause,
    )


def duplicate_check(table: pd.DataFrame, contract: Contract) -> Check:
    """Rows that agree in every column are counted and kept: twins can be real, and a double export is not."""
    compared = [column.name for column in contract.columns if column.role in ("feature", "sensitive")]
    twice = table.duplicated(subset=[*compared, contract.target.column], keep="first").to_numpy(dtype=bool)
    found = int(twice.sum())
    where = f", {rows_text(first_rows(twice), found)}" if found else ""
    return Check(
        name="duplicate_rows",
        outcome=Outcome.RECORDED,
        figure=float(found),
        count=len(table),
        detail=f"{found:,} rows repeat an earlier row in every feature, sensitive column and the target{where}",
    )


def group_checks(table: pd.DataFrame, contract: Contract, fairness: FairnessRules | None) -> list[Check]:
    """Each group whose fairness decides is large enough to be judged; said before anything is trained.

    Without a policy, or where the policy only records small groups, the sizes are recorded.
    """
    checks = []
    for name, attribute in contract.sensitive.items():
        members = groups(table, attribute)
        decides = fairness is not None and name in fairness.required and fairness.small_groups == "refuse"
        least = fairness.minimum_group if fairness else 0
        for group in attribute.group_names:
            rows = int(np.count_nonzero(members == group))
            outcome = Outcome.RECORDED
            if decides:
                outcome = Outcome.PASS if rows >= least else Outcome.INSUFFICIENT
            allowed = f"; allowed: at least {least} to be judged (policy: fairness.minimum_group)" if decides else ""
            checks.append(
                Check(
                    name="group_rows",
                    outcome=outcome,
                    subject=f"{name}: {group}",
                    figure=float(rows),
                    threshold=float(least) if decides else None,
                    comparison=">=" if decides else None,
                    count=rows,
                    detail=f"group {group} of {name}: {rows:,} rows{allowed}",
                )
            )
    return checks
