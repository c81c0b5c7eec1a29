"""The contract as a pandera schema, and what the schema finds as checks of the verdict.

The contract is the only source: no limit stands here. A check that breaks is an error of ours and ends the run;
pandera would count it among the data's faults.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tallystick.components.core.contract import Column, Contract, SensitiveAttribute
from tallystick.components.core.errors import TallystickError
from tallystick.components.core.verdicts import Check, Outcome
from tallystick.components.data_validation.conformity import Mask, allowed_values, first_rows, rows_text

if TYPE_CHECKING:
    import pandera.pandas as pandera

LARGEST = float(np.finfo(np.float32).max)
_SHOWN_VALUES = 5


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """One rule of the contract: its name in the verdict, the columns it reads, what it allows, and its test.

    A test takes one column's values, or the table where several columns are read together; ``missing`` has none.
    """

    name: str
    subject: str
    columns: tuple[str, ...]
    allowed: str
    whole_table: bool = False
    test: Callable[[Any], pd.Series] | None = None

    def broken(self, table: pd.DataFrame) -> Mask:
        """The rows that break it, shape (rows,). A null breaks only the rule that asks for a value."""
        if self.test is None:
            return np.asarray(table[self.subject].isna(), dtype=bool)
        if self.whole_table:
            return ~np.asarray(self.test(table), dtype=bool)
        values = table[self.subject]
        wrong = np.zeros(len(table), dtype=bool)
        known = np.asarray(values.notna(), dtype=bool)
        wrong[known] = ~np.asarray(self.test(values[known]), dtype=bool)
        return wrong


def contract_checks(table: pd.DataFrame, contract: Contract, clause: str = "") -> list[Check]:
    """Hold a typed table against the contract: values, ranges, nulls, categories, uniqueness, indicators, target.

    Parameters
    ----------
    table
        As :func:`tallystick.components.data_validation.conformity.typed_table` gives it.
    clause
        Printed beside each check.

    Returns
    -------
    list of Check
        One failed check a rule that is broken, with rows counted from 1, and one passed check a kind of rule
        that held everywhere. ``figure`` is the number of rows that break the rule, and 0 is allowed.

    Raises
    ------
    TallystickError
        A check broke instead of answering.
    """
    import pandera.pandas as pandera

    schema, rules = schema_of(contract)
    failures: dict[str, Check] = {}
    try:
        schema.validate(table, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        for error in errors.schema_errors:
            rule = _broken_rule(error, rules)
            failures[f"{rule.name}:{rule.subject}"] = _failed(rule, rule.broken(table), table, clause)
    checks = list(failures.values())
    for name in dict.fromkeys(rule.name for rule in rules.values()):
        if not any(check.name == name for check in checks):
            subjects = [rule.subject for rule in rules.values() if rule.name == name]
            checks.append(_held(name, subjects, len(table), clause))
    return checks


def schema_of(contract: Contract) -> tuple[pandera.DataFrameSchema, dict[str, _Rule]]:
    """The contract as a schema, and its rules by the names that pandera's errors carry."""
    import pandera.pandas as pandera

    rules: dict[str, _Rule] = {}
    columns: dict[str, Any] = {}
    for column in contract.columns:
        if column.role != "excluded":
            columns[column.name] = _schema_column(column, contract, rules)
    target = contract.target
    allowed = f"{target.adverse!r} ({target.meaning}) or {target.favourable!r}"
    columns[target.column] = pandera.Column(
        nullable=False,
        checks=[
            _named(rules, "target_values", target.column, allowed, _is_one_of((target.adverse, target.favourable)))
        ],
    )
    rules[f"missing:{target.column}"] = _Rule(
        name="missing", subject=target.column, columns=(target.column,), allowed="a value in every row"
    )
    whole_rows = [
        _named(rules, "groups", name, _groups_allowed(attribute), _in_one_group(attribute), attribute.columns)
        for name, attribute in contract.sensitive.items()
        if attribute.indicators or attribute.groups
    ]
    if contract.unique:
        together = " and ".join(contract.unique)
        check = _named(rules, "unique", together, "each once", _no_repeat(contract.unique), contract.unique)
        whole_rows.append(check)
    return pandera.DataFrameSchema(columns, checks=whole_rows, strict=False), rules


def _schema_column(column: Column, contract: Contract, rules: dict[str, _Rule]) -> Any:
    import pandera.pandas as pandera

    checks = []
    if column.type in ("integer", "number") and column.role != "key":
        limit = f"at most {LARGEST:.3g} either way: models compute in 32 bits"
        checks.append(_named(rules, "finite", column.name, limit, lambda values: values.abs() <= LARGEST))
        if column.minimum is not None or column.maximum is not None:
            checks.append(_named(rules, "range", column.name, _range_allowed(column), _in_range(column)))
    allowed = allowed_values(column, contract) if column.type == "category" else ()
    if allowed:
        words = ", ".join(
            f"{value} ({column.categories[value]})" if column.categories.get(value) else str(value) for value in allowed
        )
        checks.append(_named(rules, "categories", column.name, words, _is_one_of(allowed)))
    if not column.nullable:
        rules[f"missing:{column.name}"] = _Rule(
            name="missing", subject=column.name, columns=(column.name,), allowed="a value in every row (not nullable)"
        )
    return pandera.Column(nullable=column.nullable, checks=checks)


def _named(
    rules: dict[str, _Rule],
    name: str,
    subject: str,
    allowed: str,
    test: Callable[[Any], pd.Series],
    columns: tuple[str, ...] = (),
) -> Any:
    import pandera.pandas as pandera

    key = f"{name}:{subject}"
    rules[key] = _Rule(
        name=name,
        subject=subject,
        columns=columns or (subject,),
        allowed=allowed,
        whole_table=bool(columns),
        test=test,
    )
    # One failure is enough for pandera: it would copy every cell of every wrong row. The rule itself counts them.
    return pandera.Check(test, name=key, ignore_na=not columns, n_failure_cases=1)


def _in_range(column: Column) -> Callable[[Any], pd.Series]:
    low = -np.inf if column.minimum is None else column.minimum
    high = np.inf if column.maximum is None else column.maximum
    # What is not finite is refused by the rule `finite`, once.
    return lambda values: ((values >= low) & (values <= high)) | (values.abs() > LARGEST)


def _range_allowed(column: Column) -> str:
    unit = f" {column.unit}" if column.unit else ""
    if column.maximum is None:
        return f"{column.minimum:.10g}{unit} or more"
    if column.minimum is None:
        return f"{column.maximum:.10g}{unit} or less"
    return f"{column.minimum:.10g} to {column.maximum:.10g}{unit}"


def _is_one_of(allowed: Sequence[Any]) -> Callable[[Any], pd.Series]:
    return lambda values: values.isin(list(allowed))


def _no_repeat(columns: Sequence[str]) -> Callable[[Any], pd.Series]:
    return lambda table: ~table.duplicated(subset=list(columns), keep=False)


def _in_one_group(attribute: SensitiveAttribute) -> Callable[[Any], pd.Series]:
    if attribute.indicators:
        return lambda table: table[list(attribute.indicators)].eq(1).fillna(False).sum(axis="columns") == 1
    values = list(attribute.groups)
    return lambda table: table[attribute.column].isin(values) | table[attribute.column].isna()


def _groups_allowed(attribute: SensitiveAttribute) -> str:
    if attribute.indicators:
        return f"exactly one of {', '.join(attribute.indicators)} is 1"
    return ", ".join(f"{value} ({group})" for value, group in attribute.groups.items())


def _broken_rule(error: Any, rules: dict[str, _Rule]) -> _Rule:
    """The rule behind one of pandera's errors."""
    from pandera.errors import SchemaErrorReason

    if error.reason_code is SchemaErrorReason.SERIES_CONTAINS_NULLS:
        return rules[f"missing:{error.schema.name}"]
    if error.reason_code is SchemaErrorReason.DATAFRAME_CHECK and error.check.name in rules:
        return rules[error.check.name]
    raise TallystickError(f"data_validation: a check broke instead of answering: {error}")


def _failed(rule: _Rule, wrong: Mask, table: pd.DataFrame, clause: str) -> Check:
    rows = first_rows(wrong)
    where = rows_text(rows, int(wrong.sum()))
    found = ""
    if rule.name != "missing":
        cells = [tuple(table[column].iloc[row - 1] for column in rule.columns) for row in rows]
        shown = dict.fromkeys(_shown(rule.columns, values) for values in cells)
        found = f" {', '.join(list(shown)[:_SHOWN_VALUES])}"
    kind = "attribute" if rule.name == "groups" else "column"
    return Check(
        name=rule.name,
        outcome=Outcome.FAIL,
        subject=rule.subject,
        figure=float(wrong.sum()),
        threshold=0.0,
        comparison="<=",
        count=len(table),
        detail=f"{kind} {rule.subject}, {where}: found{found or ' nothing'}; allowed: {rule.allowed}",
        clause=clause,
    )


def _shown(columns: Sequence[str], values: Sequence[Any]) -> str:
    words = ["nothing" if pd.isna(value) else _cell(value) for value in values]
    if len(words) == 1:
        return words[0]
    return "(" + ", ".join(f"{column} {word}" for column, word in zip(columns, words, strict=True)) + ")"


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:37] + "...")
    return f"{value:.10g}" if isinstance(value, float) else str(value)


_HELD = {
    "missing": "every row has a value in the {n} columns that may not be empty",
    "finite": "the numbers of {n} columns are finite",
    "range": "the values of {n} columns lie in their ranges",
    "categories": "the values of {n} columns are among their categories",
    "target_values": "the target has no other values than the contract's two",
    "groups": "every row is in one group of each of {n} sensitive attributes, or in none where that is not known",
    "unique": "no two rows share {subjects}",
}


def _held(name: str, subjects: Sequence[str], rows: int, clause: str) -> Check:
    return Check(
        name=name,
        outcome=Outcome.PASS,
        figure=0.0,
        threshold=0.0,
        comparison="<=",
        count=rows,
        detail=_HELD[name].format(n=len(subjects), subjects=", ".join(subjects)),
        clause=clause,
    )
