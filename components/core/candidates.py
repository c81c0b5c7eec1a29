"""The folder in which training hands a model to the gates: the model, its predictions, and how it was made.

    model/                the package (model_package.py)
    predictions.parquet   one row an applicant: row, sample, adverse, score, group:<attribute> ...
    training.json         name, kind, parameters, features, threshold, digests, proxy test

Out-of-fold rows were scored by a model that had not seen them; hold-out rows were never used in training or
search. Group columns stand here and nowhere in the model: they serve the fairness tests. Read without pandas
or scikit-learn, because every gate is a process of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tallystick.components.core.errors import InputError
from tallystick.components.core.files import write_json
from tallystick.components.core.model_package import ModelPackage, read_package

Sample = Literal["out_of_fold", "holdout"]
OUT_OF_FOLD: Sample = "out_of_fold"
HOLDOUT: Sample = "holdout"
MODEL, PREDICTIONS, TRAINING = "model", "predictions.parquet", "training.json"
_GROUP = "group:"


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Scores of applicants with their outcomes and groups; all arrays have shape (rows,).

    Attributes
    ----------
    row
        0-based position in the data.
    sample
        ``out_of_fold`` or ``holdout``.
    adverse
        1 where the outcome was adverse.
    score
        Probability of the adverse outcome.
    groups
        Group of each row by sensitive attribute.
    """

    row: npt.NDArray[np.int64]
    sample: npt.NDArray[np.object_]
    adverse: npt.NDArray[np.int64]
    score: npt.NDArray[np.float64]
    groups: Mapping[str, npt.NDArray[np.object_]]

    def of(self, sample: Sample) -> Predictions:
        """The rows of one sample."""
        kept = self.sample == sample
        return Predictions(
            row=self.row[kept],
            sample=self.sample[kept],
            adverse=self.adverse[kept],
            score=self.score[kept],
            groups={name: values[kept] for name, values in self.groups.items()},
        )


@dataclass(frozen=True, kw_only=True)
class ProxyTest:
    """How well a model's features predict membership outside the reference group (AUC, out of fold).

    None where a side has too few rows to be predicted.
    """

    attribute: str
    auc: float | None
    low: float | None
    high: float | None
    rows: int


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """How a candidate was made: what ``training.json`` holds.

    Attributes
    ----------
    method
        ``candidate`` for one of the policy's, else the method of search that found it.
    threshold
        A score at or above it is declined; frozen in the model.
    dataset_sha256
        Digest of the Parquet file that was trained on; `data_sha256` is the source file's, where validation
        told it.
    """

    name: str
    kind: str
    method: str
    description: str
    parameters: Mapping[str, Any]
    features: tuple[str, ...]
    threshold: float
    seed: int
    data_sha256: str
    dataset_sha256: str
    contract_sha256: str
    policy_sha256: str
    model_sha256: str
    auc_out_of_fold: float
    proxy: tuple[ProxyTest, ...]
    baseline_note: str = ""


@dataclass(frozen=True, kw_only=True)
class CandidateModel:
    """A candidate as a gate reads it; the model's every byte has been checked against its manifest."""

    model: ModelPackage
    predictions: Predictions
    training: TrainingRecord
    folder: Path = field(compare=False)


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write ``predictions.parquet``."""
    import pyarrow
    import pyarrow.parquet

    columns: dict[str, Any] = {
        "row": predictions.row,
        "sample": pyarrow.array(predictions.sample.tolist(), pyarrow.string()),
        "adverse": predictions.adverse,
        "score": predictions.score,
    }
    for name, values in predictions.groups.items():
        columns[_GROUP + name] = pyarrow.array(values.tolist(), pyarrow.string())
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def read_predictions(path: Path) -> Predictions:
    """Read ``predictions.parquet``.

    Raises
    ------
    InputError
        Not there, damaged, or without a column that it must have.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path, memory_map=False)
        return Predictions(
            row=table["row"].to_numpy().astype(np.int64),
            sample=np.array(table["sample"].to_pylist(), dtype=object),
            adverse=table["adverse"].to_numpy().astype(np.int64),
            score=table["score"].to_numpy().astype(np.float64),
            groups={
                name.removeprefix(_GROUP): np.array(table[name].to_pylist(), dtype=object)
                for name in table.column_names
                if name.startswith(_GROUP)
            },
        )
    except (OSError, KeyError, ValueError, pyarrow.ArrowException) as error:
        raise InputError(
            str(path), f"cannot be read as predictions ({error})", "row, sample, adverse, score, group:*"
        ) from error


def write_training(folder: Path, record: TrainingRecord) -> None:
    """Write ``training.json``."""
    write_json(folder / TRAINING, asdict(record))


def read_candidate(folder: Path) -> CandidateModel:
    """Read a candidate's folder.

    Raises
    ------
    InputError
        A file is missing or damaged, or the model is not the one that ``training.json`` speaks of.
    """
    model = read_package(folder / MODEL)
    try:
        value = json.loads((folder / TRAINING).read_bytes())
        value["proxy"] = tuple(ProxyTest(**test) for test in value["proxy"])
        value["features"] = tuple(value["features"])
        training = TrainingRecord(**value)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder}/{TRAINING}", f"cannot be read ({error})", "what training wrote") from error
    if training.model_sha256 != model.digest:
        raise InputError(str(folder), "training.json speaks of another model", f"sha256:{model.digest}")
    return CandidateModel(
        model=model, predictions=read_predictions(folder / PREDICTIONS), training=training, folder=folder
    )


def joined(development: Predictions, holdout: Predictions) -> Predictions:
    """Out-of-fold and hold-out rows in one table."""
    parts: Sequence[Predictions] = (development, holdout)
    return Predictions(
        row=np.concatenate([part.row for part in parts]),
        sample=np.concatenate([part.sample for part in parts]),
        adverse=np.concatenate([part.adverse for part in parts]),
        score=np.concatenate([part.score for part in parts]),
        groups={name: np.concatenate([part.groups[name] for part in parts]) for name in development.groups},
    )
