"""Another lender's data: other names, texts as categories and outcome, ages in bands, a key, quick to train on."""

from pathlib import Path

import numpy as np
import pandas as pd

CONTRACT = """
version: 1
name: instalment-loans
description: Made-up instalment loans for tests.
target: {column: outcome, adverse: defaulted, favourable: repaid, meaning: the loan was not repaid}
unique: [loan_id]
columns:
  - {name: loan_id, role: key, type: category, meaning: Identifies a loan}
  - name: income_eur
    role: feature
    type: number
    unit: euro a month
    minimum: 0
    maximum: 50000
    nullable: true
    missing_codes: [-1]
    monotonic: decreasing
    reason: {code: A1, text: Your income is low for the instalment}
  - name: purpose
    role: feature
    type: category
    categories: {car: a car, home: home improvement, other: anything else}
    reason: {code: A2, text: The purpose of the loan}
  - name: late_payments
    role: feature
    type: integer
    minimum: 0
    maximum: 99
    monotonic: increasing
    reason: {code: A3, text: Late payments on earlier loans}
  - name: has_guarantor
    role: feature
    type: boolean
    reason: {code: A4, text: There is no guarantor}
  - {name: gender, role: sensitive, type: category, categories: {f: woman, m: man}, nullable: true}
  - {name: age, role: sensitive, type: integer, minimum: 18, maximum: 110}
  - {name: collected_at, role: excluded, type: category, nullable: true, why: known only after a default}
sensitive:
  gender: {column: gender, groups: {f: woman, m: man}, reference: man}
  age: {column: age, bands: [30, 60], reference: 30 to under 60}
"""

POLICY = """
version: 1
name: quick
seed: 7
data: {minimum_rows: 300, minimum_adverse: 30, folds: 3}
training:
  benchmark: scorecard
  candidates:
    - {name: scorecard, kind: logistic_regression, parameters: {C: 1.0}, features: [income_eur, late_payments]}
    - {name: logistic, kind: logistic_regression, parameters: {C: 1.0}}
    - {name: boosting, kind: hist_gradient_boosting, parameters: {max_iter: 20, max_leaf_nodes: 6}}
decision: {approval_rate: 0.8}
evaluation: {auc: {minimum: 0.6}, minimum_adverse: 20}
fairness: {required: [gender], adverse_impact_ratio: {minimum: 0.8}, minimum_group: 30}
search: {maximum_alternatives: 6}
rollout:
  steps: [{weight_pct: 50, minimum_time_s: 1, minimum_requests: 50}]
  service_level: {maximum_error_rate: 0.05, maximum_p99_s: 1.0, minimum_requests: 20}
  interval_s: 0.5
  deadline_s: 60
"""


def loans(rows: int = 1500, *, seed: int = 3, bias: float = 0.0) -> pd.DataFrame:
    """Made-up loans; with `bias` women's income is recorded lower by that share, so a plain model is unfair."""
    generator = np.random.default_rng(seed)
    gender = generator.choice(["f", "m"], rows)
    income = np.round(generator.lognormal(8.0, 0.5, rows) * np.where(gender == "f", 1 - bias, 1.0), 2)
    late = generator.poisson(0.8, rows)
    guarantor = generator.random(rows) < 0.3
    purpose = generator.choice(["car", "home", "other"], rows, p=[0.5, 0.3, 0.2])
    risk = -1.6 + 0.7 * late - 0.9 * (np.log(income) - 8.0) * 2 - 0.5 * guarantor + 0.4 * (purpose == "other")
    defaulted = generator.random(rows) < 1 / (1 + np.exp(-risk))
    missing = generator.random(rows) < 0.03
    return pd.DataFrame(
        {
            "loan_id": [f"L{number:05d}" for number in range(rows)],
            "income_eur": np.where(missing, -1, income),
            "purpose": purpose,
            "late_payments": late,
            "has_guarantor": guarantor,
            "gender": gender,
            "age": generator.integers(18, 90, rows),
            "collected_at": np.where(defaulted, "agency", None),
            "outcome": np.where(defaulted, "defaulted", "repaid"),
        }
    )


def write_files(folder: Path, *, rows: int = 1500, bias: float = 0.0, **changes: object) -> tuple[Path, Path, Path]:
    """Write data, contract and policy into `folder`; `changes` replace whole columns of the data."""
    folder.mkdir(parents=True, exist_ok=True)
    data, contract, policy = folder / "loans.csv", folder / "contract.yaml", folder / "policy.yaml"
    loans(rows, bias=bias).assign(**changes).to_csv(data, index=False)
    contract.write_text(CONTRACT)
    policy.write_text(POLICY)
    return data, contract, policy
