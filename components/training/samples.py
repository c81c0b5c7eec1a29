"""Parts the data into development and hold-out rows, and the development rows into folds.

The hold-out rows are set aside here, before anything is fitted, and training and search never see them
again until a finished model is scored. The split depends on the data and the policy's seed alone; it is
made here and not by scikit-learn, so that an upgrade does not move rows from one sample to the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tallystick.components.core.contract import Contract
from tallystick.components.core.encoding import Feature, Matrix, encode
from tallystick.components.core.errors import InputError
from tallystick.components.core.frames import adverse_outcomes, feature_values, group_columns
from tallystick.components.core.policy import Policy
from tallystick.components.core.profiles import features_of

Integers = npt.NDArray[np.int64]
Groups = Mapping[str, npt.NDArray[np.object_]]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Applicants of one sample: encoded features (float32 values), outcomes, groups, positions in the data."""

    row: Integers
    matrix: Matrix
    adverse: Integers
    groups: Groups
    table: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Development and hold-out rows, encoded by the same features; `strata` are the development rows' strata."""

    features: tuple[Feature, ...]
    development: Rows
    holdout: Rows
    strata: Integers

    def columns(self, names: tuple[str, ...]) -> tuple[tuple[Feature, ...], Integers]:
        """The named features and their encoded columns in the matrices; empty means all."""
        kept: list[Feature] = []
        positions: list[int] = []
        start = 0
        for feature in self.features:
            width = len(feature.encoded_names)
            if not names or feature.name in names:
                kept.append(feature)
                positions.extend(range(start, start + width))
            start += width
        return tuple(kept), np.array(positions, dtype=np.int64)


def split(table: pd.DataFrame, contract: Contract, policy: Policy) -> Samples:
    """Set the hold-out rows aside, stratified by outcome and by the groups whose fairness decides.

    Raises
    ------
    InputError
        A sample has no row of one outcome, or no row at all.
    """
    adverse = adverse_outcomes(table, contract)
    groups = group_columns(table, contract)
    strata = _strata(adverse, [groups[name] for name in policy.fairness.required], minimum=2 * policy.data.folds)
    generator = np.random.default_rng(policy.seed)
    held = _hold_out(strata, policy.data.holdout_fraction, generator)
    for name, kept in (("development", ~held), ("hold-out", held)):
        if len(np.unique(adverse[kept])) < 2:
            raise InputError(
                f"data: column {contract.target.column}",
                f"the {name} sample of {int(kept.sum())} rows has one outcome only",
                "rows of both outcomes in both samples",
            )
    features = features_of(contract, table[~held])
    samples = [_rows(table, np.flatnonzero(kept), features, adverse, groups) for kept in (~held, held)]
    return Samples(features=features, development=samples[0], holdout=samples[1], strata=strata[~held])


def _rows(table: pd.DataFrame, row: Integers, features: tuple[Feature, ...], adverse: Integers, groups: Groups) -> Rows:
    part = table.iloc[row]
    return Rows(
        row=row,
        matrix=encode(features, feature_values(part, features)),
        adverse=adverse[row],
        groups={name: values[row] for name, values in groups.items()},
        table=part,
    )


def _strata(adverse: Integers, attributes: list[npt.NDArray[np.object_]], *, minimum: int) -> Integers:
    """Outcome by groups as numbers; a combination with fewer than `minimum` rows joins its outcome's rest."""
    combined = np.array(["|".join(str(a[i]) for a in attributes) for i in range(len(adverse))], dtype=object)
    names, numbers = np.unique(combined.astype(str), return_inverse=True)
    result = adverse * (len(names) + 1) + numbers + 1
    for stratum in np.unique(result):
        members = result == stratum
        if members.sum() < minimum:
            result[members] = adverse[members] * (len(names) + 1)
    return np.asarray(result, dtype=np.int64)


def _hold_out(strata: Integers, fraction: float, generator: np.random.Generator) -> npt.NDArray[np.bool_]:
    held = np.zeros(len(strata), dtype=bool)
    carried = 0.0
    for stratum in np.unique(strata):
        members = generator.permutation(np.flatnonzero(strata == stratum))
        wanted = len(members) * fraction + carried
        taken = min(round(wanted), len(members))
        carried = wanted - taken
        held[members[:taken]] = True
    return held


def folds(strata: Integers, count: int, seed: int) -> Integers:
    """Fold number of each row, shape (rows,): strata are dealt out in turn, so folds differ by few rows."""
    generator = np.random.default_rng(seed)
    result = np.zeros(len(strata), dtype=np.int64)
    dealt = 0
    for stratum in np.unique(strata):
        members = generator.permutation(np.flatnonzero(strata == stratum))
        result[members] = (np.arange(len(members)) + dealt) % count
        dealt += len(members)
    return result
