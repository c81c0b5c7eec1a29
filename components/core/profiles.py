"""Freezes a sample's distribution in bins, so that later data can be compared with it at any time and any size.

Numbers are binned as the model sees them, rounded to float32. Edges come from the development sample alone and
never move: a comparison whose edges follow the new data hides the very shift it looks for. Nothing here
judges; stability.py has the figure.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tallystick.components.core.contract import Column, Contract
from tallystick.components.core.encoding import Feature
from tallystick.components.core.errors import InputError
from tallystick.components.core.model_package import Bins, Profile

BINS = 10
SCORE = "__score__"

Floats = npt.NDArray[np.float64]


def features_of(contract: Contract, table: pd.DataFrame, names: Sequence[str] = ()) -> tuple[Feature, ...]:
    """The contract's features as a model takes them, with what stands in for a missing value.

    Parameters
    ----------
    contract
        Columns, meanings and reasons.
    table
        The development rows: the medians are theirs, so the hold-out sample must not be among them.
    names
        Narrows the features; empty takes all. The order is always the contract's.

    Raises
    ------
    InputError
        A name is no feature, or a feature has no value at all in the development rows.
    """
    known = [column.name for column in contract.features]
    for name in names:
        if name not in known:
            raise InputError(f"features: {name}", "is no feature of the contract", ", ".join(known))
    return tuple(_feature(column, table) for column in contract.features if not names or column.name in names)


def _feature(column: Column, table: pd.DataFrame) -> Feature:
    if column.reason is None:
        raise InputError(f"columns[{column.name}]", "has no reason", "a code and a text")
    impute = 0.0
    if column.type != "category":
        numbers = _numbers(table[column.name])
        numbers = numbers[~np.isnan(numbers) & ~_is_code(numbers, column.missing_codes)]
        if not len(numbers):
            raise InputError(f"column {column.name}", "has no value in the development rows", "at least one value")
        impute = float(np.quantile(numbers, 0.5, method="inverted_cdf"))
    return Feature(
        name=column.name,
        type=column.type,
        minimum=column.minimum,
        maximum=column.maximum,
        nullable=column.nullable,
        missing_codes=column.missing_codes,
        categories=tuple(column.categories),
        impute=impute,
        monotonic=column.monotonic,
        reason_code=column.reason.code,
        meaning=column.meaning,
        unit=column.unit,
    )


def feature_bins(table: pd.DataFrame, features: Sequence[Feature]) -> tuple[Bins, ...]:
    """Freeze each feature's distribution: deciles for numbers, one bin a value for categories.

    Parameters
    ----------
    table
        The development rows, one column a feature, missing codes or nulls where a value is not known.

    Returns
    -------
    tuple of Bins
        In the order of `features`. Counts, `missing` and `out_of_range` together are the number of rows.

    References
    ----------
    N. Siddiqi, Credit Risk Scorecards (2006), ch. 9: the reference's deciles are kept for the index's life.
    """
    return tuple(
        _counted(feature, _empty_bins(feature, table[feature.name]), table[feature.name]) for feature in features
    )


def count_into(bins: Bins, feature: Feature, values: pd.Series) -> Bins:
    """Count other rows of a feature into the bins that were frozen for it; edges and values stay as they are."""
    return _counted(feature, bins, values)


def score_bins(scores: npt.ArrayLike) -> Bins:
    """Freeze scores (probabilities, shape (rows,)) at their own deciles.

    Without a shift every bin is about equally likely, so two models can be compared bin by bin. Fewer than
    ten bins result where many rows share one score.
    """
    numbers = np.asarray(scores, dtype=np.float64)
    known = numbers[~np.isnan(numbers)]
    edges = _deciles(known)
    return Bins(
        name=SCORE,
        edges=edges,
        counts=_histogram(known, edges),
        missing=int(np.isnan(numbers).sum()),
    )


def profile_of(
    table: pd.DataFrame,
    features: Sequence[Feature],
    *,
    adverse_rate: float,
    scores: npt.ArrayLike = (),
) -> Profile:
    """The development sample's profile; without `scores` (data alone, no model yet) the score has no bins."""
    numbers = np.asarray(scores, dtype=np.float64)
    return Profile(
        rows=len(table),
        features=feature_bins(table, features),
        score=score_bins(numbers) if len(numbers) else Bins(name=SCORE, counts=(), missing=0),
        adverse_rate=adverse_rate,
    )


def profile_json(profile: Profile) -> str:
    """A profile as the JSON text of a model's ``profile.json``."""
    return json.dumps(asdict(profile), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def parse_profile(text: str, name: str) -> Profile:
    """Read what :func:`profile_json` wrote.

    Raises
    ------
    InputError
        Not JSON, or not a profile; `name` is what to call the file.
    """
    try:
        value = json.loads(text)
        bins = [_read_bins(entry) for entry in (*value["features"], value["score"])]
        return Profile(
            rows=int(value["rows"]),
            features=tuple(bins[:-1]),
            score=bins[-1],
            adverse_rate=float(value["adverse_rate"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            name, f"cannot be read as a reference profile ({error})", "the profile.json of a model or of a validation"
        ) from error


def _read_bins(value: dict[str, Any]) -> Bins:
    lists: dict[str, Any] = {key: tuple(value[key]) for key in ("edges", "values", "counts")}
    bins = Bins(**{**value, **lists})
    if bins.counts and len(bins.counts) != (len(bins.values) or len(bins.edges) + 1):
        raise ValueError(f"{bins.name}: {len(bins.counts)} counts do not fit its bins")
    return bins


def _empty_bins(feature: Feature, values: pd.Series) -> Bins:
    if feature.type == "category":
        return Bins(name=feature.name, values=feature.categories, counts=(), missing=0)
    numbers = _numbers(values)
    known = numbers[~_is_missing(numbers, feature) & ~_is_outside(numbers, feature)]
    return Bins(name=feature.name, edges=_deciles(known), counts=(), missing=0)


def _counted(feature: Feature, bins: Bins, values: pd.Series) -> Bins:
    if feature.type == "category":
        counts = values.value_counts(dropna=True).to_dict()
        codes = sum(int(counts.get(code, 0)) for code in feature.missing_codes if code not in bins.values)
        inside = tuple(int(counts.get(value, 0)) for value in bins.values)
        missing = int(values.isna().sum()) + codes
        outside = len(values) - missing - sum(inside)
        return Bins(name=bins.name, values=bins.values, counts=inside, missing=missing, out_of_range=outside)
    numbers = _numbers(values)
    missing_rows = _is_missing(numbers, feature)
    outside_rows = ~missing_rows & _is_outside(numbers, feature)
    return Bins(
        name=bins.name,
        edges=bins.edges,
        counts=_histogram(numbers[~missing_rows & ~outside_rows], bins.edges),
        missing=int(missing_rows.sum()),
        out_of_range=int(outside_rows.sum()),
    )


def _deciles(numbers: Floats) -> tuple[float, ...]:
    """Rising edges at the deciles, each a value that occurs; none at the maximum, above which nothing lies."""
    if not len(numbers):
        return ()
    steps = np.arange(1, BINS) / BINS
    edges = np.unique(np.quantile(numbers, steps, method="inverted_cdf"))
    below = edges[edges < numbers.max()]
    # A column that never changed: keep its value as the edge, so that a larger one is seen when it comes.
    return tuple(float(edge) for edge in (below if len(below) else edges[:1]))


def _histogram(numbers: Floats, edges: tuple[float, ...]) -> tuple[int, ...]:
    places = np.searchsorted(np.array(edges), numbers, side="left")
    return tuple(int(count) for count in np.bincount(places, minlength=len(edges) + 1))


def _numbers(values: pd.Series) -> Floats:
    """Rounded to float32 as the encoding does, so that a value falls into one bin in training and in serving."""
    numbers = values.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(numbers.astype(np.float32), dtype=np.float64)


def _is_missing(numbers: Floats, feature: Feature) -> npt.NDArray[np.bool_]:
    return np.isnan(numbers) | _is_code(numbers, feature.missing_codes)


def _is_code(numbers: Floats, codes: Sequence[object]) -> npt.NDArray[np.bool_]:
    """Compared as float32, as the encoding does: a code that lost digits on its way is still the code."""
    return np.isin(numbers, np.array(codes, dtype=np.float64).astype(np.float32).astype(np.float64))


def _is_outside(numbers: Floats, feature: Feature) -> npt.NDArray[np.bool_]:
    low = -np.inf if feature.minimum is None else feature.minimum
    high = np.inf if feature.maximum is None else feature.maximum
    return (numbers < low) | (numbers > high)
