"""Decides whether data may be learned from: read it, hold it against its contract, and say everything found.

The rule for how it ends: a file that cannot be read as the contract's table (damaged, columns missing or too many,
cells of another type) is bad input, an InputError. A table that can be read and holds what the contract or the
policy does not allow is refused by the verdict. A check that breaks is neither: it ends the run as broken, so
nothing passes that was not checked.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tallystick.components.core.agreement import check_agreement
from tallystick.components.core.contract import Column, Contract, SensitiveAttribute, parse_contract
from tallystick.components.core.errors import InputError
from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.files import sha256_of_bytes, sha256_of_file, write_bytes, write_text
from tallystick.components.core.frames import adverse_outcomes, groups
from tallystick.components.core.journal import Journal
from tallystick.components.core.model_package import Profile
from tallystick.components.core.policy import DataRules, Policy, parse_policy
from tallystick.components.core.profiles import features_of, parse_profile, profile_json, profile_of
from tallystick.components.core.storage import fetch_file, open_store
from tallystick.components.core.verdicts import Check, Outcome, Verdict, finite
from tallystick.components.data_validation.conformity import typed_table
from tallystick.components.data_validation.drift import Drift, drift_checks, drift_of, unmatched_checks
from tallystick.components.data_validation.leakage import (
    Leakage,
    excluded_checks,
    leakage_checks,
    leakage_of,
)
from tallystick.components.data_validation.reading import Source, open_source, read_cells
from tallystick.components.data_validation.report import report_html
from tallystick.components.data_validation.sanity import column_checks, duplicate_check, group_checks, target_checks
from tallystick.components.data_validation.schema import LARGEST, contract_checks

GATE = "data_validation"
_DEFAULT_SEED = 20260417


@dataclass(frozen=True, kw_only=True)
class ValidationResult:
    """What was found.

    Attributes
    ----------
    details
        Figures for the statement: source, target, columns, groups, leakage, drift, excluded.
    report
        A self-contained HTML page.
    dataset
        The rows to learn from: features, sensitive columns, keys and the target, missing codes as nulls, in the
        file's order. None where the data was refused.
    profile
        The distribution of every feature in frozen bins. None where the data was refused.
    """

    verdict: Verdict
    details: dict[str, Any]
    report: str
    dataset: pd.DataFrame | None
    profile: Profile | None


@dataclass(frozen=True, kw_only=True)
class _Findings:
    checks: tuple[Check, ...]
    leakage: tuple[Leakage, ...]
    drift: tuple[Drift, ...]


def validate(
    data: str,
    contract: Contract,
    policy: Policy | None = None,
    *,
    reference_profile: str = "",
    policy_name: str = "policy.yaml",
) -> ValidationResult:
    """Check data against its contract; nothing is left on disk.

    Parameters
    ----------
    data
        A path, ``file://``, ``s3://bucket/key`` or ``example:NAME`` of a CSV or Parquet file.
    policy
        For its ``data`` rules and the smallest group; without it the defaults hold and group sizes are recorded.
    reference_profile
        ``profile.json`` of an earlier model or validation, by path or s3:// URL, to measure drift against.
    policy_name
        What to call the policy in messages.

    Raises
    ------
    InputError
        The data cannot be read as the contract's table, or the reference is no profile of its features.
    StorageError
        A bucket that cannot be read.
    """
    if policy is not None:
        check_agreement(contract, policy, policy_name=policy_name)
    with tempfile.TemporaryDirectory(prefix="tallystick-") as folder:
        source = open_source(data, Path(folder))
        table = typed_table(read_cells(source), contract, source.name)
        reference = _reference(reference_profile, Path(folder)) if reference_profile else None
        found = _findings(table, contract, policy, reference, reference_profile)
    verdict = Verdict(
        gate=GATE,
        subject_name=source.name,
        subject_sha256=source.sha256,
        checks=found.checks,
        context={"contract": contract.name, "policy": policy.name if policy else "defaults"},
    )
    details = _details(table, contract, source, found)
    report = report_html(table, contract, verdict, details)
    if not verdict.passed:
        return ValidationResult(verdict=verdict, details=details, report=report, dataset=None, profile=None)
    dataset = _dataset(table, contract)
    adverse_rate = float(adverse_outcomes(dataset, contract).mean())
    profile = profile_of(dataset, features_of(contract, dataset), adverse_rate=adverse_rate)
    return ValidationResult(verdict=verdict, details=details, report=report, dataset=dataset, profile=profile)


def run(
    *,
    data: str,
    contract_yaml: str,
    policy_yaml: str,
    evidence: str,
    run_id: str,
    reference_profile: str,
    dataset: Path,
    profile: Path,
    report: Path,
    journal: Journal,
) -> tuple[bool, dict[str, str]]:
    """Validate as a step of a run: write the report always, data set and profile only where the gate opens.

    Returns
    -------
    tuple of bool and dict
        Whether the data may be learned from, and the digests that go with the data set.
    """
    contract, policy = parse_contract(contract_yaml), parse_policy(policy_yaml)
    journal.progress(0.1, "reading the data")
    result = validate(data, contract, policy, reference_profile=reference_profile)
    journal.progress(0.8, "writing the report")
    write_text(report, result.report)
    digests = {"sha256": result.verdict.subject_sha256}
    rules = {
        "contract_sha256": sha256_of_bytes(contract_yaml.encode()),
        "policy_sha256": sha256_of_bytes(policy_yaml.encode()),
        "data_sha256": result.verdict.subject_sha256,
    }
    verdict = replace(result.verdict, context={**result.verdict.context, **rules})
    if result.dataset is not None and result.profile is not None:
        write_bytes(dataset, parquet_bytes(result.dataset))
        write_text(profile, profile_json(result.profile))
        digests["dataset_sha256"] = sha256_of_file(dataset)
    EvidenceStore(open_store(evidence), run_id).record_verdict(GATE, verdict, {**result.details, **digests})
    journal.verdict(verdict)
    return verdict.passed, digests


def parquet_bytes(table: pd.DataFrame) -> bytes:
    """A Parquet file whose bytes depend on the table alone (pandas' own metadata name the library's version)."""
    import pyarrow as pa
    import pyarrow.parquet

    sink = pa.BufferOutputStream()
    arrow = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
    pyarrow.parquet.write_table(arrow, sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _reference(uri: str, folder: Path) -> Profile:
    path = fetch_file(uri, folder / "reference.json")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(uri, f"cannot be read ({error})", "the profile.json of a model or of a validation") from error
    return parse_profile(text, uri)


def _findings(
    table: pd.DataFrame, contract: Contract, policy: Policy | None, reference: Profile | None, reference_name: str
) -> _Findings:
    rules = policy.data if policy else DataRules()
    checks = contract_checks(table, contract, rules.clause)
    checks += column_checks(table, contract, rules)
    target_is_clean = not any(
        check.outcome is Outcome.FAIL and check.subject == contract.target.column for check in checks
    )
    leakage: tuple[Leakage, ...] = ()
    if target_is_clean:
        checks += target_checks(table, contract, rules)
        adverse = adverse_outcomes(table, contract)
        if 0 < adverse.sum() < len(adverse):
            seed = policy.seed if policy else _DEFAULT_SEED
            leakage, found = _leakage(table, contract, adverse, rules, seed)
            checks += found
    checks += group_checks(table, contract, policy.fairness if policy else None)
    checks.append(duplicate_check(table, contract))
    drift: tuple[Drift, ...] = ()
    if reference is not None:
        finite_table = _finite(table, contract)
        filled = [c.name for c in contract.features if finite_table[c.name].notna().any()]
        features = features_of(contract, finite_table, filled) if filled else ()
        drift = drift_of(finite_table, features, reference, reference_name)
        checks += drift_checks(drift, rules) + unmatched_checks(features, reference)
    return _Findings(checks=tuple(checks), leakage=leakage, drift=drift)


def _leakage(
    table: pd.DataFrame, contract: Contract, adverse: np.ndarray, rules: DataRules, seed: int
) -> tuple[tuple[Leakage, ...], list[Check]]:
    finite_table = _finite(table, contract)
    filled = [name for name in finite_table.columns if finite_table[name].notna().any()]
    features = [column.name for column in contract.features if column.name in filled]
    excluded = [column.name for column in contract.columns if column.role == "excluded" and column.name in filled]
    found = leakage_of(finite_table, features, adverse, seed)
    checks = leakage_checks(found, rules)
    checks += excluded_checks(leakage_of(finite_table, excluded, adverse, seed), rules)
    return found, checks


def _finite(table: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """The table with values that are not finite left out: they were refused already, and have no place in a bin."""
    numbers = [
        c.name for c in contract.columns if c.type in ("integer", "number") and c.role in ("feature", "sensitive")
    ]
    return table.assign(**{name: table[name].mask(table[name].abs() > LARGEST) for name in numbers})


def _dataset(table: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """What training may see. Excluded columns stay behind."""
    columns = [column.name for column in contract.columns if column.role != "excluded"]
    kept = table[[*columns, contract.target.column]]
    return kept.assign(**{name: kept[name].infer_objects() for name in kept.columns if kept[name].dtype == object})


def _details(table: pd.DataFrame, contract: Contract, source: Source, found: _Findings) -> dict[str, Any]:
    target = contract.target
    adverse = (table[target.column] == target.adverse).to_numpy(dtype=bool)
    return {
        "source": source.name,
        "rows": len(table),
        "data_sha256": source.sha256,
        "target": {
            "column": target.column,
            "meaning": target.meaning,
            "rows": len(table),
            "adverse": int(adverse.sum()),
            "adverse_rate": float(adverse.mean()),
        },
        "columns": [_column_figures(table, column) for column in contract.columns if column.role != "excluded"],
        "groups": {name: _group_figures(table, adverse, attribute) for name, attribute in contract.sensitive.items()},
        "excluded": [
            {"name": column.name, "why": column.why} for column in contract.columns if column.role == "excluded"
        ],
        "leakage": [
            {"column": leak.column, "auc": leak.auc, "by": leak.by, "p_value": leak.p_value} for leak in found.leakage
        ],
        "drift": [
            {
                "column": drift.reference.name,
                "index": finite(drift.stability.index),
                "noise": finite(drift.stability.noise),
                "reference_rows": drift.stability.reference_rows,
            }
            for drift in found.drift
        ],
    }


def _column_figures(table: pd.DataFrame, column: Column) -> dict[str, Any]:
    values = table[column.name]
    known = values.dropna()
    figures: dict[str, Any] = {
        "name": column.name,
        "role": column.role,
        "type": column.type,
        "missing": int(values.isna().sum()),
        "unique": int(known.nunique()),
        "minimum": None,
        "maximum": None,
        "mean": None,
    }
    if column.type != "category" and column.role != "key" and len(known):
        numbers = known.astype(np.float64)
        numbers = numbers[numbers.abs() <= LARGEST]
        figures |= {
            "minimum": finite(numbers.min()),
            "maximum": finite(numbers.max()),
            "mean": finite(numbers.mean()),
        }
    return figures


def _group_figures(table: pd.DataFrame, adverse: np.ndarray, attribute: SensitiveAttribute) -> dict[str, Any]:
    members = groups(table, attribute)
    figures: dict[str, Any] = {}
    for group in attribute.group_names:
        own = members == group
        rows = int(own.sum())
        figures[group] = {"rows": rows, "adverse_rate": float(adverse[own].mean()) if rows else None}
    return figures
