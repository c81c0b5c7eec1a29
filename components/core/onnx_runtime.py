"""The one way to import ONNX Runtime: without its telemetry.

From 1.32 its Linux wheels keep a device identifier in the home folder and send events to Microsoft unless
ORT_DISABLE_TELEMETRY is set before the import; its own `disable_telemetry_events()` comes too late for both.
A lender's model server tells nobody what it does.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

_SWITCH = "ORT_DISABLE_TELEMETRY"


def onnxruntime() -> Any:
    """The `onnxruntime` module, imported with telemetry off for this process and its children."""
    os.environ[_SWITCH] = "1"
    return importlib.import_module("onnxruntime")
