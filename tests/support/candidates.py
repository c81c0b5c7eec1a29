"""A candidate's folder and its data as the steps before leave them, from a real model on drawn applications."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tallystick.components.core.candidates import (
    MODEL,
    PREDICTIONS,
    Predictions,
    TrainingRecord,
    write_predictions,
    write_training,
)
from tallystick.components.core.encoding import encode
from tallystick.components.core.ensembles import score
from tallystick.components.core.files import sha256_of_bytes
from tallystick.components.core.model_package import ModelPackage
from tests.support.documents import LENDING_CONTRACT_YAML, POLICY_YAML
from tests.support.packages import Kind, Lending, lending, write_lending_package

LENDING_POLICY_YAML = POLICY_YAML.replace("required: [race]", "required: [sex]").replace(
    "evaluation:\n", "evaluation:\n  minimum_adverse: 5\n"
)
DATA_SHA256 = sha256_of_bytes(b"the source file")


def lending_table(data: Lending) -> pd.DataFrame:
    """The drawn applications as validated data: features, groups, outcome."""
    table = pd.DataFrame(data.columns)
    table["sex"] = np.random.default_rng(5).choice(["m", "f"], len(table))
    table["outcome"] = data.adverse
    return table


def write_candidate(
    folder: Path,
    kind: Kind = "hist_gradient_boosting",
    *,
    name: str = "lending",
    rows: int = 600,
    sex: np.ndarray | None = None,
    **package: Any,
) -> tuple[ModelPackage, pd.DataFrame]:
    """Train and write one candidate; returns its model and the data it was trained on."""
    data = lending(rows=rows)
    table = lending_table(data)
    if sex is not None:
        table["sex"] = sex
    model = write_lending_package(folder / MODEL, kind, name=name, data=data, **package)
    scores = score(model.arithmetic, encode(data.features, data.columns))
    holdout = np.arange(rows) % 4 == 3
    write_predictions(
        folder / PREDICTIONS,
        Predictions(
            row=np.arange(rows),
            sample=np.where(holdout, "holdout", "out_of_fold").astype(object),
            adverse=data.adverse.astype(np.int64),
            score=scores,
            groups={"sex": table["sex"].map({"m": "men", "f": "women"}).to_numpy(dtype=object)},
        ),
    )
    write_training(
        folder,
        TrainingRecord(
            name=name,
            kind=kind,
            method="candidate",
            description="",
            parameters={},
            features=tuple(feature.name for feature in data.features),
            threshold=model.interface.threshold,
            seed=1,
            data_sha256=DATA_SHA256,
            dataset_sha256=sha256_of_bytes(b"the parquet file"),
            contract_sha256=sha256_of_bytes(LENDING_CONTRACT_YAML.encode()),
            policy_sha256=sha256_of_bytes(LENDING_POLICY_YAML.encode()),
            model_sha256=model.digest,
            auc_out_of_fold=0.8,
            proxy=(),
        ),
    )
    return model, table
