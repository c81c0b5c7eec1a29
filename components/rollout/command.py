"""`tallystick rollout`: a release between two model folders on this machine, by any policy, without a pipeline."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tallystick.components.core.errors import ExitCode, InputError
from tallystick.components.core.files import write_json, write_text
from tallystick.components.core.journal import Journal
from tallystick.components.core.policy import parse_policy
from tallystick.components.rollout.logic import STORY, Release, page, sentence, try_release
from tallystick.components.rollout_controller.state import Phase


class Lines(Journal):
    """A journal that also says each look in one line."""

    def event(self, kind: str, **values: Any) -> None:
        """Keep the event, and print a look."""
        super().event(kind, **values)
        if kind == "traffic":
            sys.stdout.write(line(values) + "\n")
            sys.stdout.flush()


def line(look: dict[str, Any]) -> str:
    """One look at the trial: when, phase, share wanted and seen, failures, evidence, why."""
    seen = look["weight_observed_pct"]
    return (
        f"{look['t']:>6.1f} s  {look['phase']:<12} {look['weight_desired_pct']:>3g} % wanted, "
        f"{'   -' if seen is None else f'{seen:>4.0f}'} % seen  "
        f"failed {look['canary_errors']}/{look['canary_requests']} new, "
        f"{look['baseline_errors']}/{look['baseline_requests']} old  "
        f"evidence of harm {100 * look['harm_of_needed']:.3g} %, of health {100 * look['health_of_needed']:.3g} % "
        f"of what is needed  {look['reason']}"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--candidate", type=Path, required=True, help="folder of the new model (manifest.json in it)")
    parser.add_argument("--champion", type=Path, required=True, help="folder of the model in service")
    parser.add_argument("--data", type=Path, required=True, help="applications to replay: CSV or Parquet")
    parser.add_argument("--policy", type=Path, required=True, help="policy.yaml, of which `rollout` is used")
    parser.add_argument("--output", type=Path, default=Path("rollout"), help="folder for logs, record and page")
    parser.add_argument("--json", action="store_true", help="one JSON object at the end instead of a line a look")


def run(options: argparse.Namespace) -> ExitCode:
    """Hold the trial; 0 when promoted, 4 when taken back, 1 when it could not be held."""
    for name in ("data", "policy"):
        if not getattr(options, name).is_file():
            raise InputError(f"--{name}", f"{getattr(options, name)} is no file", "a file that is there")
    policy = parse_policy(options.policy.read_text(encoding="utf-8"), str(options.policy))
    options.output.mkdir(parents=True, exist_ok=True)
    state = options.output / "state.json"
    if state.exists():
        raise InputError(
            str(options.output), "holds a trial already", "a folder of its own for each trial", "give another --output"
        )
    release = Release(
        candidate=_above(options.candidate, "--candidate"),
        champion=_above(options.champion, "--champion"),
        dataset=options.data,
        folder=options.output,
        rules=policy.rollout,
        seed=policy.seed,
    )
    journal = (Journal if options.json else Lines)(options.output / "journal.jsonl", "rollout")
    trial = try_release(release, name="rollout", story=STORY, journal=journal)
    write_json(options.output / "trial.json", trial.details)
    write_text(options.output / "trial.html", page(trial))
    if options.json:
        sys.stdout.write(json.dumps(trial.details) + "\n")
    else:
        sys.stdout.write(f"{sentence(trial)}\nsee {options.output / 'trial.html'}\n")
    ends = {Phase.PROMOTED: ExitCode.DONE, Phase.ROLLED_BACK: ExitCode.ROLLED_BACK}
    return ends.get(trial.phase, ExitCode.BROKE)


def _above(folder: Path, option: str) -> Path:
    """A model's folder may be given itself, or the folder that holds it as `model/`."""
    for model, above in ((folder / "model", folder), (folder, folder.parent)):
        if (model / "manifest.json").is_file() and model.name == "model":
            return above
    raise InputError(option, f"{folder} holds no model", "a folder `model` with manifest.json in it, or the one above")
