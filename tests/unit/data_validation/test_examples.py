"""Data by name: from an installed package, or from the internet with a clear word where there is none."""

import urllib.error
from pathlib import Path

import pandas as pd
import pytest

from tallystick.components.core.errors import InputError
from tallystick.components.data_validation.examples import CREDIT_CARD_COLUMNS, credit_card_table, write_example


def test_loanapp_is_written_as_the_package_holds_it(tmp_path: Path) -> None:
    path = write_example("example:loanapp", tmp_path)
    table = pd.read_csv(path)
    assert table.shape == (1989, 59)
    assert int(table["reject"].sum()) == 244
    assert table.loc[table["lines"] > 9e5, "lines"].tolist() == [999999.375]


def test_loanapp_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    first = write_example("example:loanapp", tmp_path / "a").read_bytes()
    assert write_example("example:loanapp", tmp_path / "b").read_bytes() == first


def test_unknown_example_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no example; allowed: example:loanapp, example:uci-credit-default"):
        write_example("example:nope", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_internet_is_said_in_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(**_: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("fairlearn.datasets.fetch_credit_card", unreachable)
    with pytest.raises(InputError, match=r"cannot be fetched from OpenML .*allowed: a machine with internet"):
        write_example("example:uci-credit-default", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_credit_card_columns_are_those_that_the_installed_fairlearn_gives() -> None:
    from fairlearn.datasets import _fetch_credit_card

    assert list(CREDIT_CARD_COLUMNS) == list(_fetch_credit_card._CREDIT_FEATURE_NAMES)


def test_credit_card_columns_are_named_by_their_order() -> None:
    data = pd.DataFrame([range(23)], columns=[f"x{place}" for place in range(1, 24)])
    table = credit_card_table(data, pd.Series(["1"], name="target"))
    assert list(table.columns) == [*CREDIT_CARD_COLUMNS, "y"]
    assert (table["SEX"].iloc[0], table["PAY_AMT6"].iloc[0], table["y"].iloc[0]) == (1, 22, "1")


def test_credit_card_of_another_width_is_not_renamed() -> None:
    with pytest.raises(InputError, match="has 22 columns; allowed: 23 columns"):
        credit_card_table(pd.DataFrame([range(22)]), pd.Series(["1"]))
