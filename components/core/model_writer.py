"""Writes a model's folder (model_package.py says what is in it): whole or not at all, the same bytes each time.

Apart from the reader because it needs `onnx`, which the model server's image does without.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np

from tallystick.components.core.ensembles import Arithmetic, LinearModel
from tallystick.components.core.files import (
    folder_written_whole,
    sha256_of_bytes,
    sha256_of_file,
    write_bytes,
    write_json,
)
from tallystick.components.core.model_package import FILES, FORMAT, MANIFEST, Examples, Interface, Profile
from tallystick.components.core.onnx_graph import onnx_bytes


def write_package(
    folder: Path,
    *,
    name: str,
    kind: str,
    arithmetic: Arithmetic,
    interface: Interface,
    profile: Profile,
    examples: Examples,
) -> str:
    """Write a model's folder whole or not at all, and return its digest (hexadecimal SHA-256).

    The version is ``<name>-<first ten digits of the content>``: a valid DNS label, as a predictor's name must be.
    """
    columns = sum(len(feature.encoded_names) for feature in interface.features)
    with folder_written_whole(folder) as temporary:
        write_bytes(temporary / "model.onnx", onnx_bytes(arithmetic, columns))
        write_bytes(temporary / "arithmetic.npz", _arrays_bytes(arithmetic))
        write_json(temporary / "interface.json", asdict(interface))
        write_json(temporary / "profile.json", asdict(profile))
        write_json(temporary / "examples.json", asdict(examples))
        files = {file: sha256_of_file(temporary / file) for file in FILES}
        content = sha256_of_bytes(json.dumps(files, sort_keys=True).encode())
        manifest = {
            "format": FORMAT,
            "name": name,
            "version": f"{name}-{content[:10]}",
            "kind": kind,
            "arithmetic": _arithmetic_kind(arithmetic),
            "files": files,
        }
        write_json(temporary / MANIFEST, manifest)
        return sha256_of_file(temporary / MANIFEST)


def _arithmetic_kind(model: Arithmetic) -> Literal["linear", "trees"]:
    return "linear" if isinstance(model, LinearModel) else "trees"


def _arrays_bytes(model: Arithmetic) -> bytes:
    """An .npz whose bytes depend on the arrays alone (numpy stamps the time into its own)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        given = {key: value for key, value in vars(model).items() if value is not None}
        for key, value in sorted(given.items()):
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asarray(value), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{key}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content.getvalue())
    return buffer.getvalue()
