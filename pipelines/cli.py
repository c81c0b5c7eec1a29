"""The command `tallystick`. It parses, calls, prints, and maps how things ended to exit codes; nothing else."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from tallystick.components.core.errors import ExitCode, InputError, TallystickError

_EPILOG = """exit codes:
  0  done            the release was promoted, or the command did what it should
  1  it broke        our fault or the machine's; the message and the run's log say where
  2  bad input       a file, field or option that you can mend; the message says which
  3  a gate said no  the data or the model was refused; the report says why
  4  rolled back     the trial on live traffic went wrong and was taken back
  130 interrupted
"""


@dataclass(frozen=True, kw_only=True)
class _Lent:
    """A command that a component brings: its module is imported only when the command is typed."""

    name: str
    module: str
    summary: str
    description: str
    add: str = "add_arguments"
    run: str = "run"


_RECEIPTS = "tallystick.components.core.receipts.commands"
_LENT = (
    _Lent(
        name="verify",
        module=_RECEIPTS,
        summary="check a release's bundle offline, trusting only the keys you name",
        description="Checks a bundle without network: every signature, the log's proofs, digests, gates, approvals.\n"
        "Prints in plain words what was proved; exit code 3 when it does not prove what it should.",
        add="add_verify_arguments",
        run="run_verify",
    ),
    _Lent(
        name="bundle",
        module=_RECEIPTS,
        summary="gather a run's evidence into one file",
        description="Gathers statements, proofs, checkpoint, card, reports, contract and policy into one file.",
        add="add_bundle_arguments",
        run="run_bundle",
    ),
    _Lent(
        name="approve",
        module=_RECEIPTS,
        summary="sign an approval of a run's model with your own key",
        description="States that a person who is none of the authors approves the model of a run, signed by that\n"
        "person's key.",
        add="add_approve_arguments",
        run="run_approve",
    ),
    _Lent(
        name="override",
        module=_RECEIPTS,
        summary="set a gate's verdict aside, with a reason, on the record",
        description="States that a step's verdict is set aside. Needs a key with the role `override` and a reason;\n"
        "it is itself a statement, and every later check names it.",
        add="add_override_arguments",
        run="run_override",
    ),
    _Lent(
        name="keys",
        module=_RECEIPTS,
        summary="make a signing key, or trust one",
        description="Makes a key pair, or adds somebody's public key to a trust file.",
        add="add_keys_arguments",
        run="run_keys",
    ),
    _Lent(
        name="rollout",
        module="tallystick.components.rollout.command",
        summary="try one model against another on replayed traffic",
        description="Holds a trial between two model folders on this machine: two real model servers behind a\n"
        "real Envoy, weights by the policy's steps, promotion on positive evidence or rollback.",
    ),
    _Lent(
        name="simulate",
        module="tallystick.components.rollout.simulate",
        summary="what a rollout policy would find, and how soon",
        description="Answers, for a policy and your traffic: how long until a fault of a given size is found, and\n"
        "how often a healthy release is rolled back. Prints a table, and a plot with --plot.",
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser(words[0] if words else "").parse_args(words)
    try:
        return int(options.run(options))
    except TallystickError as error:
        _complain(options, str(error), error.exit_code)
        return int(error.exit_code)
    except KeyboardInterrupt:
        _complain(options, "interrupted", ExitCode.INTERRUPTED)
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:  # the reader of our output went away: `tallystick card | head`
        sys.stderr.close()
        return int(ExitCode.DONE)


def _complain(options: argparse.Namespace, message: str, code: ExitCode) -> None:
    if getattr(options, "json", False):
        sys.stdout.write(json.dumps({"error": message, "exit_code": int(code)}) + "\n")
    else:
        sys.stderr.write(f"tallystick: {message}\n")


def _parser(typed: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tallystick",
        description="Governed model releases: gates, evidence, a live trial, and a rollback that comes by itself.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_run(commands)
    _add_validate(commands)
    _add_compile(commands)
    _add_card(commands)
    for lent in _LENT:
        command = commands.add_parser(lent.name, help=lent.summary, **_looks(lent.description))
        if lent.name == typed:
            module = importlib.import_module(lent.module)
            getattr(module, lent.add)(command)
            command.set_defaults(run=getattr(module, lent.run))
    return parser


def _looks(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "epilog": _EPILOG,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str, description: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=summary, **_looks(description))
    command.add_argument("--json", action="store_true", help="print one JSON document for machines and nothing else")
    return command


def _add_runs_dir(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="where runs are kept (default: runs)"
    )


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands,
        "demo",
        "a whole release of a real lending model, then bad builds of it taken back",
        "Releases a model on the Boston Fed mortgage applications (1990): the plain model is refused as unfair, a\n"
        "fairer one is found, documented, registered, tried on live traffic and promoted. Then three bad builds of\n"
        "it are tried and taken back. Needs no cluster, Docker or internet.",
    )
    _add_runs_dir(command)
    command.set_defaults(run=_demo)


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands,
        "run",
        "release a model on your own data",
        "Runs the whole pipeline on any data, described by two files:\n"
        "  contract.yaml  columns, meanings, ranges, who may be compared with whom, reasons in plain words\n"
        "  policy.yaml    candidates, thresholds, the search for alternatives, the steps of the trial",
    )
    command.add_argument("--data", required=True, help="CSV or Parquet: a path, s3://bucket/key, or example:NAME")
    command.add_argument("--contract", required=True, type=Path, metavar="FILE")
    command.add_argument("--policy", required=True, type=Path, metavar="FILE")
    command.add_argument(
        "--reference-profile",
        default="",
        metavar="FILE",
        help="an earlier model's profile.json to compare the data with",
    )
    _add_runs_dir(command)
    command.set_defaults(run=_run)


def _add_validate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands,
        "validate",
        "check data against a contract",
        "Checks a data file against its contract: types, ranges, nulls, categories, target, leakage, and drift\n"
        "against an earlier model's profile. Trains nothing and writes nothing but the report you ask for.",
    )
    command.add_argument("data", help="CSV or Parquet: a path, s3://bucket/key, or example:NAME")
    command.add_argument("--contract", required=True, type=Path, metavar="FILE")
    command.add_argument("--policy", type=Path, metavar="FILE", help="for its `data` rules; defaults without")
    command.add_argument("--reference-profile", default="", metavar="FILE", help="an earlier model's profile.json")
    command.add_argument("--report", type=Path, metavar="FILE", help="also write the HTML report here")
    command.set_defaults(run=_validate)


def _add_compile(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands,
        "compile",
        "write the pipeline for Kubeflow",
        "Compiles the pipeline `credit-risk`: plain YAML for the Kubeflow UI and client, or the resources for\n"
        "`kubectl apply`. The same source gives the same bytes.",
    )
    command.add_argument("--output", type=Path, metavar="FILE", help="where to write it (default: standard output)")
    command.add_argument(
        "--format",
        choices=("pipeline", "kubernetes"),
        default="pipeline",
        help="pipeline: plain YAML; kubernetes: Pipeline and PipelineVersion for kubectl apply",
    )
    command.add_argument("--namespace", default="kubeflow", help="for --format kubernetes (default: kubeflow)")
    command.set_defaults(run=_compile)


def _add_card(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands, "card", "print a run's model card", "Prints the model card of a run, as Markdown or HTML."
    )
    command.add_argument("run_id", nargs="?", default="latest", help="a run's id (default: latest)")
    command.add_argument("--format", choices=("markdown", "html"), default="markdown")
    command.add_argument("--output", type=Path, metavar="FILE", help="where to write it (default: standard output)")
    _add_runs_dir(command)
    command.set_defaults(run=_card)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(str(path), "is not UTF-8 text", "a YAML file") from error
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})", "a YAML file") from error


def _write(text: str, output: Path | None) -> None:
    from tallystick.components.core.files import write_text

    if output is None:
        sys.stdout.write(text)
    else:
        write_text(output, text)


def _demo(options: argparse.Namespace) -> ExitCode:
    from tallystick.pipelines.credit_risk.pipeline import CONTRACT, POLICY
    from tallystick.pipelines.release import Request

    return _release(
        options,
        Request(
            data="example:loanapp",
            contract_text=CONTRACT,
            policy_text=POLICY,
            contract_name="credit_risk/contract.yaml",
            policy_name="credit_risk/policy.yaml",
            runs_dir=options.runs_dir,
            rehearse_bad_builds=True,
        ),
    )


def _run(options: argparse.Namespace) -> ExitCode:
    from tallystick.pipelines.release import Request

    return _release(
        options,
        Request(
            data=options.data,
            contract_text=_read(options.contract),
            policy_text=_read(options.policy),
            contract_name=str(options.contract),
            policy_name=str(options.policy),
            runs_dir=options.runs_dir,
            reference_profile=options.reference_profile,
        ),
    )


def _release(options: argparse.Namespace, request: object) -> ExitCode:
    from tallystick.pipelines.release import Request, release, summary_text

    assert isinstance(request, Request)  # noqa: S101 - imported late, so that --help is quick
    console = Console(quiet=options.json, stderr=False)
    result = release(request, console)
    if options.json:
        sys.stdout.write(summary_text(result.summary) + "\n")
    else:
        console.print()
        console.print(result.summary["headline"], style="bold", markup=False, highlight=False, soft_wrap=True)
        console.print(f"report:   {result.folder.path / 'report.html'}", markup=False, highlight=False)
        console.print(f"summary:  {result.folder.path / 'summary.json'}", markup=False, highlight=False)
        if result.exit_code is ExitCode.BROKE:
            console.print(f"log:      {result.folder.log}", markup=False, highlight=False)
    return result.exit_code


def _validate(options: argparse.Namespace) -> ExitCode:
    from tallystick.components.core.contract import parse_contract
    from tallystick.components.core.policy import parse_policy
    from tallystick.components.data_validation.logic import validate

    contract = parse_contract(_read(options.contract), str(options.contract))
    policy = parse_policy(_read(options.policy), str(options.policy)) if options.policy else None
    result = validate(
        options.data,
        contract,
        policy,
        reference_profile=options.reference_profile,
        policy_name=str(options.policy),
    )
    if options.report:
        _write(result.report, options.report)
    if options.json:
        sys.stdout.write(json.dumps(result.verdict.to_json(), indent=2) + "\n")
    else:
        console = Console()
        for check in result.verdict.objections:
            console.print(f"✘ {check.detail}", style="yellow", markup=False, highlight=False)
        console.print(result.verdict.sentence() if result.verdict.passed else "the data is refused", markup=False)
    return ExitCode.DONE if result.verdict.passed else ExitCode.GATE_REFUSED


def _compile(options: argparse.Namespace) -> ExitCode:
    from tallystick.pipelines.compiling import compile_manifests, compile_pipeline
    from tallystick.pipelines.credit_risk.pipeline import credit_risk

    if options.format == "kubernetes":
        text = compile_manifests(credit_risk, namespace=options.namespace)
    else:
        text = compile_pipeline(credit_risk)
    if options.json:
        from tallystick.components.core.files import sha256_of_bytes

        if options.output is None:
            raise InputError("--json", "the pipeline itself goes to standard output", "--json with --output FILE")
        _write(text, options.output)
        sys.stdout.write(json.dumps({"output": str(options.output), "sha256": sha256_of_bytes(text.encode())}) + "\n")
        return ExitCode.DONE
    _write(text, options.output)
    return ExitCode.DONE


def _card(options: argparse.Namespace) -> ExitCode:
    from tallystick.components.model_card.logic import card_html, card_markdown
    from tallystick.pipelines.release import statements_of
    from tallystick.pipelines.run_folder import find_run

    folder = find_run(options.runs_dir, options.run_id)
    statements = statements_of(folder)
    if "fairness_gate" not in statements:
        raise InputError(str(folder.path), "no model was judged in this run, so there is no card", "a later run")
    contract = _read(folder.path / "input" / "contract.yaml")
    policy = _read(folder.path / "input" / "policy.yaml")
    if options.json:
        text = json.dumps({"run": folder.run_id, "markdown": card_markdown(statements, contract, policy)}) + "\n"
    elif options.format == "html":
        text = card_html(statements, contract, policy)
    else:
        text = card_markdown(statements, contract, policy)
    _write(text, options.output)
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
