"""The images the pipeline, the chart and the manifests run: one lock file, one place to pin.

`components/images.lock.json` maps a component folder to a reference; `make images` writes digests into it.
"""

from __future__ import annotations

import json
from pathlib import Path

_LOCK = Path(__file__).parent.parent / "images.lock.json"


def reference(folder: str) -> str:
    """Image reference of a component folder; KeyError for a folder that has no image."""
    return str(references()[folder])


def references() -> dict[str, str]:
    """All image references by component folder."""
    images: dict[str, str] = json.loads(_LOCK.read_text())["images"]
    return images
