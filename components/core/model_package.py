"""The folder that is a model: what training writes, registration names and the model server runs.

    manifest.json    format, name, version, and the SHA-256 of every other file
    model.onnx       float64 scoring graph
    arithmetic.npz   the same model as arrays (ensembles.py), for exact reasons
    interface.json   inputs, encoding, reasons, decision threshold
    profile.json     the training sample in frozen bins, for drift and for the rollout's score test
    examples.json    stored rows with the scores that the model must give for them

The model's digest is the SHA-256 of manifest.json, which names all other files: one byte changed anywhere
changes it. The same data, contract and policy give the same bytes, so no time or path is in here.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tallystick.components.core.encoding import Feature
from tallystick.components.core.ensembles import Arithmetic, LinearModel, TreeEnsemble
from tallystick.components.core.errors import InputError
from tallystick.components.core.files import sha256_of_file

if TYPE_CHECKING:  # the model server starts without pydantic
    from tallystick.components.core.policy import ShapMethod

FORMAT = "tallystick.model/1"
MANIFEST = "manifest.json"
FILES = ("model.onnx", "arithmetic.npz", "interface.json", "profile.json", "examples.json")


@dataclass(frozen=True, kw_only=True)
class Interface:
    """What goes in, what the score means, and how it is explained.

    Attributes
    ----------
    threshold
        A score at or above it is the adverse decision.
    reasons
        Plain words by reason code.
    outcome
        What the adverse outcome is, in words: ``the application was denied``.
    """

    features: tuple[Feature, ...]
    reasons: dict[str, str]
    threshold: float
    maximum_reasons: int
    shap: ShapMethod
    background_rows: int
    additivity_tolerance: float
    outcome: str


@dataclass(frozen=True, kw_only=True)
class Bins:
    """One column of the training sample in frozen bins.

    `edges` (rising; bin j holds edges[j-1] < x <= edges[j], the first and last are open) for numbers or
    `values` for categories; `counts` has one entry a bin, `missing` and `out_of_range` stand apart.
    """

    name: str
    edges: tuple[float, ...] = ()
    values: tuple[Any, ...] = ()
    counts: tuple[int, ...]
    missing: int
    out_of_range: int = 0


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The development sample's distributions: features, score (on out-of-fold scores) and decisions."""

    rows: int
    features: tuple[Bins, ...]
    score: Bins
    adverse_rate: float


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Rows as a caller sends them (by feature name) with the scores the model must answer."""

    rows: tuple[dict[str, Any], ...]
    scores: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ModelPackage:
    """A model read from its folder, every file checked against the manifest."""

    name: str
    version: str
    kind: str
    digest: str
    folder: Path
    arithmetic: Arithmetic
    interface: Interface
    profile: Profile
    examples: Examples


def package_digest(folder: Path) -> str:
    """Digest of a model's folder; the files it names are not checked here."""
    try:
        return sha256_of_file(folder / MANIFEST)
    except OSError as error:
        raise InputError(str(folder), "is not a model folder", f"a folder with {MANIFEST}") from error


def read_package(folder: Path, *, expected_digest: str | None = None) -> ModelPackage:
    """Read a model and check every byte of it.

    Raises
    ------
    InputError
        Not a model folder, a file missing, altered or not named, or not the digest that was expected.
    """
    digest = package_digest(folder)
    if expected_digest is not None and digest != expected_digest.removeprefix("sha256:"):
        raise InputError(
            str(folder),
            f"the model's digest is sha256:{digest}",
            f"sha256:{expected_digest.removeprefix('sha256:')}",
        )
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        found_format = manifest["format"]
        files: dict[str, str] = manifest["files"]
        if found_format != FORMAT or set(files) != set(FILES):
            raise InputError(f"{folder}/{MANIFEST}", f"format {found_format!r} with {sorted(files)}", FORMAT)
        for file, expected in files.items():
            if not (folder / file).is_file():
                raise InputError(f"{folder}/{file}", "is missing", "the file that the manifest names")
            if sha256_of_file(folder / file) != expected:
                raise InputError(f"{folder}/{file}", "was altered: it is not what the manifest names")
        if strange := sorted({entry.name for entry in folder.iterdir()} - {*FILES, MANIFEST}):
            raise InputError(f"{folder}/{strange[0]}", "is not named in the manifest", "remove it")
        interface = json.loads((folder / "interface.json").read_bytes())
        profile = json.loads((folder / "profile.json").read_bytes())
        examples = json.loads((folder / "examples.json").read_bytes())
        return ModelPackage(
            name=manifest["name"],
            version=manifest["version"],
            kind=manifest["kind"],
            digest=digest,
            folder=folder,
            arithmetic=_read_arrays(folder / "arithmetic.npz", manifest["arithmetic"]),
            interface=_interface(interface),
            profile=_profile(profile),
            examples=Examples(rows=tuple(examples["rows"]), scores=tuple(examples["scores"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OSError, zipfile.BadZipFile) as error:
        raise InputError(str(folder), f"cannot be read as a model ({error})", FORMAT) from error


def _read_arrays(path: Path, kind: str) -> Arithmetic:
    with np.load(path, allow_pickle=False) as stored:
        arrays: dict[str, Any] = {key: stored[key] for key in stored.files}
    arrays["base"], arrays["link"] = float(arrays["base"]), str(arrays["link"])
    return LinearModel(**arrays) if kind == "linear" else TreeEnsemble(**arrays)


def _interface(value: dict[str, Any]) -> Interface:
    features = tuple(
        Feature(**{**f, "missing_codes": tuple(f["missing_codes"]), "categories": tuple(f["categories"])})
        for f in value["features"]
    )
    return Interface(**{**value, "features": features})


def _profile(value: dict[str, Any]) -> Profile:
    return Profile(
        rows=value["rows"],
        features=tuple(_bins(feature) for feature in value["features"]),
        score=_bins(value["score"]),
        adverse_rate=value["adverse_rate"],
    )


def _bins(value: dict[str, Any]) -> Bins:
    lists = {key: tuple(value[key]) for key in ("edges", "values", "counts")}
    return Bins(**{**value, **lists})
