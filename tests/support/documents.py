"""A small contract and policy of mortgage applications, written as a user would write them."""

CONTRACT_YAML = """
version: 1
name: home-loans
description: Mortgage applications of one bank, decided in 1990.
source: Boston Fed mortgage study (sample for tests)
target: {column: approve, adverse: 0, favourable: 1, meaning: the application was denied}
columns:
  - {name: obrat, role: feature, type: number, minimum: 0, maximum: 95, unit: "% of income",
     meaning: Other obligations as a share of income, monotonic: increasing,
     reason: {code: R01, text: Your monthly obligations are high for your income}}
  - {name: loanprc, role: feature, type: number, minimum: 0, maximum: 3, unit: ratio,
     meaning: Loan as a share of the property's price, monotonic: increasing,
     reason: {code: R02, text: The loan is large for the price of the property}}
  - {name: pubrec, role: feature, type: boolean, meaning: A public record of default,
     reason: {code: R03, text: A public record shows a default or bankruptcy}}
  - {name: unem, role: feature, type: number, minimum: 0, maximum: 40, nullable: true, unit: "%",
     meaning: Unemployment in the applicant's industry,
     reason: {code: R04, text: Employment in your industry is uncertain}}
  - {name: term, role: feature, type: category, categories: {short: up to 15 years, long: over 15 years},
     meaning: Term of the loan,
     reason: {code: R05, text: The term of the loan}}
  - {name: race, role: sensitive, type: category, meaning: Race of the applicant}
  - {name: male, role: sensitive, type: integer, meaning: Sex of the applicant}
  - {name: reject_code, role: excluded, type: integer, meaning: Why it was denied,
     why: known only after the decision}
sensitive:
  race: {column: race, groups: {w: White, b: Black, h: Hispanic}, reference: White}
  sex: {column: male, groups: {1: Men, 0: Women}, reference: Men}
"""

POLICY_YAML = """
version: 1
name: Example lender policy 2026
description: Lines of an example lender; not legal advice.
regimes: [ECOA and Regulation B, SR 26-2]
data: {minimum_rows: 200, minimum_adverse: 20, clause: "Policy 2.1"}
training:
  benchmark: scorecard
  candidates:
    - {name: scorecard, kind: logistic_regression}
    - {name: boosting, kind: hist_gradient_boosting}
decision: {approval_rate: 0.85}
evaluation:
  auc: {minimum: 0.70, clause: "Policy 3.1"}
fairness:
  required: [race]
  adverse_impact_ratio: {minimum: 0.80, clause: "Policy 4.2"}
search: {maximum_auc_loss: 0.05, clause: "Policy 4.3"}
reasons: {maximum: 4, clause: "12 CFR 1002.9(b)(2)"}
rollout:
  steps:
    - {weight_pct: 5, minimum_requests: 100}
    - {weight_pct: 25, minimum_requests: 200}
    - {weight_pct: 50, minimum_requests: 200}
"""

LENDING_CONTRACT_YAML = """
version: 1
name: lending
description: The applications that packages.lending draws.
target: {column: outcome, adverse: 1, favourable: 0, meaning: the application was declined}
columns:
  - {name: income, role: feature, type: number, minimum: 0, maximum: 1000000, unit: EUR, meaning: Yearly income,
     reason: {code: R01, text: Amount requested is high for the income}}
  - {name: loan_ratio, role: feature, type: number, minimum: 0, maximum: 10, meaning: Loan by income,
     reason: {code: R01, text: Amount requested is high for the income}}
  - {name: late_payments, role: feature, type: integer, minimum: 0, maximum: 60, meaning: Late payments,
     reason: {code: R02, text: Credit history shows past problems}}
  - {name: bankrupt, role: feature, type: boolean, meaning: A bankruptcy,
     reason: {code: R02, text: Credit history shows past problems}}
  - {name: years_employed, role: feature, type: number, minimum: 0, maximum: 70, nullable: true, missing_codes: [999],
     meaning: Years in this job, reason: {code: R03, text: Employment is recent or not known}}
  - {name: purpose, role: feature, type: category, nullable: true, meaning: Purpose of the loan,
     categories: {home: a home, car: a car, other: anything else},
     reason: {code: R04, text: Purpose of the loan carries more risk}}
  - {name: sex, role: sensitive, type: category, meaning: Sex of the applicant}
  - {name: decided_by, role: excluded, type: integer, why: known only after the decision}
sensitive:
  sex: {column: sex, groups: {m: men, f: women}, reference: men}
"""
