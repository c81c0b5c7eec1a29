"""Writes the files that are generated and committed, or checks that they are what their sources give.

pipelines/credit_risk/compiled.yaml     for the Kubeflow UI and client
pipelines/credit_risk/manifests.yaml    for `kubectl apply`
pipelines/schemas/{contract,policy}.schema.json   for editors: completion and red lines
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tallystick.components.core.contract import Contract
from tallystick.components.core.files import write_text
from tallystick.components.core.policy import Policy

_HERE = Path(__file__).parent


def generated() -> dict[Path, str]:
    """All generated files with their content."""
    from tallystick.pipelines.compiling import compile_manifests, compile_pipeline
    from tallystick.pipelines.credit_risk.pipeline import credit_risk

    files = {
        _HERE / "credit_risk" / "compiled.yaml": compile_pipeline(credit_risk),
        _HERE / "credit_risk" / "manifests.yaml": compile_manifests(credit_risk, namespace="kubeflow"),
    }
    for name, kind in (("contract", Contract), ("policy", Policy)):
        schema = kind.model_json_schema()
        files[_HERE / "schemas" / f"{name}.schema.json"] = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    return files


def main() -> int:
    """Write, or with ``--check`` compare; 1 when a file is stale."""
    parser = argparse.ArgumentParser(description="write the generated files")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not current")
    check = parser.parse_args().check
    stale = []
    for path, content in generated().items():
        if check:
            if not path.is_file() or path.read_text(encoding="utf-8") != content:
                stale.append(path.relative_to(_HERE.parent))
        else:
            write_text(path, content)
    for path in stale:
        sys.stderr.write(f"{path} is not what its source gives: run `make generate` and commit it\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
