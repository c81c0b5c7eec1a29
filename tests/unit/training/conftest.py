from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from tallystick.components.core.contract import Contract, parse_contract
from tallystick.components.core.policy import Policy, parse_policy
from tallystick.components.training.logic import Trained, digests_of, train
from tests.support.lending import CONTRACT, POLICY, loans


@dataclass(frozen=True)
class Lender:
    contract: Contract
    policy: Policy
    dataset: Path

    def train(self, folder: Path, **options) -> Trained:
        digests = digests_of(self.dataset, "ab" * 32, CONTRACT, POLICY)
        return train(
            self.dataset,
            self.contract,
            options.pop("policy", self.policy),
            digests=digests,
            plain=folder / "plain",
            benchmark=folder / "benchmark",
            **options,
        )


def validated(table: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """What data_validation hands on: the contract's columns and the target, missing codes as nulls."""
    table = table.copy()
    for column in contract.columns:
        if column.missing_codes:
            table[column.name] = table[column.name].where(~table[column.name].isin(column.missing_codes))
    return table[[column.name for column in contract.columns] + [contract.target.column]]


def lender(folder: Path, *, bias: float = 0.0, rows: int = 1200) -> Lender:
    contract = parse_contract(CONTRACT)
    folder.mkdir(parents=True, exist_ok=True)
    validated(loans(rows, bias=bias), contract).to_parquet(folder / "data.parquet")
    return Lender(contract, parse_policy(POLICY), folder / "data.parquet")


@pytest.fixture(scope="session")
def fair(tmp_path_factory):
    return lender(tmp_path_factory.mktemp("fair"))


@pytest.fixture(scope="session")
def trained(fair, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return folder, fair.train(folder)


@pytest.fixture(scope="session")
def biased(tmp_path_factory):
    """Women's incomes recorded 45 % lower: a plain model declines them far more often."""
    return lender(tmp_path_factory.mktemp("biased"), bias=0.45)


@pytest.fixture(scope="session")
def refused(biased, tmp_path_factory):
    folder = tmp_path_factory.mktemp("refused")
    return folder, biased.train(folder)
