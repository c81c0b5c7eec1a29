"""`make bench`: runs each benchmark beside its peer, prints a table and writes build/bench.json.

A benchmark is a module `bench_<name>.py` here with a function `measure()` that returns rows of
{name, unit, ours, peer, ratio, goal, holds}. Ours and the peer's figure come from the same run.
"""

import importlib
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
OUTPUT = HERE.parents[1] / "build" / "bench.json"


def main(arguments: list[str]) -> int:
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    if unknown := set(arguments) - set(names):
        sys.stderr.write(f"no such benchmark: {', '.join(sorted(unknown))}; there are: {', '.join(names)}\n")
        return 2
    rows = []
    for name in arguments or names:
        sys.stderr.write(f"measuring {name}\n")
        rows += importlib.import_module(f"tests.benchmarks.bench_{name}").measure()
    table = Table("name", "ours", "peer", "ratio", "unit", "goal", "holds")
    for row in rows:
        table.add_row(
            row["name"], *(_shown(row[key]) for key in ("ours", "peer", "ratio")), row["unit"], row["goal"], _mark(row)
        )
    Console().print(table)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(rows, indent=2) + "\n")
    return 0 if all(row["holds"] in (True, None) for row in rows) else 1


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _mark(row: dict) -> str:
    return {True: "yes", False: "NO", None: "-"}[row["holds"]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
