"""Held-out applications as requests of the Open Inference Protocol, one application a request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tallystick.components.core.encoding import Feature
from tallystick.components.core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_DATATYPES = {"category": "BYTES", "boolean": "BOOL", "integer": "INT64", "number": "FP64"}


def held_out_rows(dataset: Path, predictions: Path, features: Sequence[Feature]) -> list[dict[str, Any]]:
    """Applications that no model was trained on, by feature name.

    Parameters
    ----------
    dataset
        The validated data: Parquet, or a CSV by its ending.
    predictions
        The candidate's predictions: which rows are the hold-out sample. All rows are taken where it is absent.
    features
        The inputs of all models that are to answer.

    Raises
    ------
    InputError
        There is no such row, or a feature is no column.
    """
    import pandas as pd

    from tallystick.components.core.frames import feature_values

    table = _table(dataset)
    if predictions.is_file():
        told = pd.read_parquet(predictions, columns=["row", "sample"])
        table = table.iloc[told.loc[told["sample"] == "holdout", "row"].to_numpy()]
    if missing := [feature.name for feature in features if feature.name not in table]:
        raise InputError(str(dataset), f"has no column {missing[0]!r}", "the validated data of this pipeline")
    if table.empty:
        raise InputError(str(predictions), "has no row of the sample holdout", "at least one")
    values = feature_values(table, features)
    return [{name: _plain(column[row]) for name, column in values.items()} for row in range(len(table))]


def _table(path: Path) -> pd.DataFrame:
    """A CSV by its ending, else Parquet: an artifact of the pipeline has no ending."""
    import pandas as pd

    try:
        return pd.read_csv(path) if path.suffix in (".csv", ".gz") else pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pandas' and pyarrow's own errors are ValueErrors
        problem = " ".join(str(error).split())[:200]
        raise InputError(str(path), f"cannot be read ({problem})", "applications as CSV or Parquet") from error


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def inputs_of(features: Sequence[Feature], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The `inputs` of one request with these rows."""
    return [
        {
            "name": feature.name,
            "datatype": _DATATYPES[feature.type],
            "shape": [len(rows)],
            "data": [_typed(feature, row[feature.name]) for row in rows],
        }
        for feature in features
    ]


def _typed(feature: Feature, value: Any) -> Any:
    if value is None:
        return None
    if feature.type == "category":
        return str(value)
    if feature.type == "boolean":
        return bool(value)
    return int(value) if feature.type == "integer" else float(value)


def request_bodies(features: Sequence[Feature], rows: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """One body for each row."""
    outputs = [{"name": "probability"}, {"name": "decision"}, {"name": "reasons"}]
    return [json.dumps({"inputs": inputs_of(features, [row]), "outputs": outputs}).encode() for row in rows]


def all_features(*models: Sequence[Feature]) -> tuple[Feature, ...]:
    """Every feature that any of the models takes, once."""
    return tuple({feature.name: feature for model in reversed(models) for feature in model}.values())
