"""Runs a compiled pipeline on this machine with KFP's own local runner: `python -m tallystick.pipelines.execute`.

A process of its own, so that KFP's output goes to the run's log and the command line stays free to show the
run. What is executed is the compiled YAML, the same bytes that are submitted to a cluster.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from tallystick.components.core.processes import follow_command_line


def main() -> int:
    """Execute; 0 when the pipeline ran to its end (whatever its gates said), 1 when a step failed."""
    parser = argparse.ArgumentParser(description="run a compiled pipeline locally")
    parser.add_argument("compiled", type=Path)
    parser.add_argument("arguments", type=Path, help="JSON file with the pipeline's arguments")
    parser.add_argument("pipeline_root", type=Path)
    options = parser.parse_args()
    follow_command_line(os.environ)
    # KFP pastes sys.executable unquoted into a shell script, which breaks on a folder with a space in its
    # name; the plain name, found through PATH, does not.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    sys.executable = "python3"

    from kfp import local
    from kfp.components import load_component_from_file

    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(options.pipeline_root), raise_on_error=True)
    pipeline = load_component_from_file(str(options.compiled))
    arguments = json.loads(options.arguments.read_text(encoding="utf-8"))
    try:
        pipeline(**arguments)
    except RuntimeError as error:  # a step failed: its own message is in the journal
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
