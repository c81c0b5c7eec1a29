"""The commands `keys`, `approve`, `override`, `bundle` and `verify`: options in, functions called, words out.

Each is a pair of functions: `add_..._arguments(parser)` and `run_...(options)`, which returns an exit code.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tallystick.components.core.errors import ExitCode, InputError
from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.files import write_bytes
from tallystick.components.core.receipts.checkpoint import read_checkpoint
from tallystick.components.core.receipts.findings import VerificationResult
from tallystick.components.core.receipts.identity import KEY_VARIABLE, Identity, identity_of
from tallystick.components.core.receipts.keys import ALGORITHMS, generate_key, parse_public_key, write_private_key
from tallystick.components.core.receipts.local_keys import add_to_trust, local_keys, trust_entry
from tallystick.components.core.receipts.requirements import EvidenceRules
from tallystick.components.core.receipts.trust import ROLES, Role, TrustPolicy, parse_trust
from tallystick.components.core.storage import ObjectStore, open_store

DOCUMENTS = ("report.html", "summary.json")


def add_keys_arguments(parser: argparse.ArgumentParser) -> None:
    """`tallystick keys make FILE`, `tallystick keys trust PUBLIC --in TRUST`."""
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION", dest="action")
    make = actions.add_parser("make", help="make a key: the private half in FILE (mode 0600), the public in FILE.pub")
    make.add_argument("file", type=Path, metavar="FILE")
    make.add_argument("--algorithm", choices=ALGORITHMS, default="ed25519", help="default: ed25519")
    trust = actions.add_parser("trust", help="add a public key to a trust file")
    trust.add_argument("file", type=Path, metavar="PUBLIC", help="a public key in PEM")
    trust.add_argument("--in", dest="trust", type=Path, required=True, metavar="TRUST", help="the trust file")
    trust.add_argument("--person", required=True, help="whose key it is: ada@bank.example")
    trust.add_argument("--name", help="what to call the key (default: the file's name)")
    _add_json(make)
    _add_json(trust)
    trust.add_argument("--role", action="append", required=True, choices=ROLES, help="may be given more than once")


def run_keys(options: argparse.Namespace) -> ExitCode:
    """Make a key or trust one."""
    if options.action == "make":
        key, pem = generate_key(options.algorithm)
        write_private_key(options.file, pem)
        public = options.file.with_name(options.file.name + ".pub")
        write_bytes(public, key.public.to_pem().encode())
        _say(options, f"private key: {options.file} (mode 0600; keep it)\npublic key:  {public}",
             {"private": str(options.file), "public": str(public), "key": key.public.key_id})  # fmt: skip
        return ExitCode.DONE
    public_key = parse_public_key(_text(options.file), str(options.file))
    roles: list[Role] = options.role
    name = options.name or options.file.name.removesuffix(".pub").removesuffix(".pem")
    add_to_trust(options.trust, trust_entry(public_key, name, options.person, roles))
    _say(options, f"{options.trust}: {options.person} may sign as {', '.join(roles)} with the key {name}",
         {"trust": str(options.trust), "key": public_key.key_id})  # fmt: skip
    return ExitCode.DONE


def add_approve_arguments(parser: argparse.ArgumentParser) -> None:
    """`tallystick approve RUN --key FILE`."""
    _add_run(parser)
    parser.add_argument("--key", help="the approver's key: a PEM file or a pkcs11: address")
    parser.add_argument("--comment", default="", help="what the approver has to say")


def run_approve(options: argparse.Namespace) -> ExitCode:
    """State an approval."""
    from tallystick.components.core.receipts.approving import approve, model_digest

    store, run_id = _run_of(options)
    digest = model_digest(EvidenceStore(store, run_id))
    step = approve(
        store, run_id, digest=digest, rules=EvidenceRules(), approver=_identity(options), comment=options.comment
    )
    _say(options, f"approved: sha256:{digest} ({step})", {"digest": f"sha256:{digest}", "statement": step})
    return ExitCode.DONE


def add_override_arguments(parser: argparse.ArgumentParser) -> None:
    """`tallystick override RUN --step STEP --reason TEXT --key FILE`."""
    _add_run(parser)
    parser.add_argument("--step", action="append", required=True, help="the step whose verdict is set aside")
    parser.add_argument("--reason", required=True, help="why, in a sentence; it stands in every later report")
    parser.add_argument("--key", help="a key with the role override: a PEM file or a pkcs11: address")


def run_override(options: argparse.Namespace) -> ExitCode:
    """State an override."""
    from tallystick.components.core.receipts.approving import model_digest, override

    store, run_id = _run_of(options)
    digest = model_digest(EvidenceStore(store, run_id))
    step = override(store, run_id, digest=digest, steps=options.step, reason=options.reason, by=_identity(options))
    _say(options, f"overridden: {', '.join(options.step)} ({step})", {"digest": f"sha256:{digest}", "statement": step})
    return ExitCode.DONE


def add_bundle_arguments(parser: argparse.ArgumentParser) -> None:
    """`tallystick bundle RUN --output FILE`."""
    _add_run(parser)
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: <run>.bundle.zip")
    parser.add_argument("--key", help="who packs it: a PEM file or a pkcs11: address (default: the run's key)")
    parser.add_argument(
        "--since", type=Path, action="append", default=[], metavar="CHECKPOINT",
        help="also prove that the log continues this earlier checkpoint",
    )  # fmt: skip


def run_bundle(options: argparse.Namespace) -> ExitCode:
    """Gather a run's evidence into one file."""
    store, run_id = _run_of(options)
    known = [read_checkpoint(_bytes(path), str(path)).size for path in options.since]
    output = options.output or Path(f"{run_id}.bundle.zip")
    evidence = EvidenceStore(store, run_id)
    parts, size = bundle_run(evidence, options.runs_dir / run_id, _identity(options), output, known_sizes=known)
    _say(options, f"{output}: {parts} parts, {size / 1e6:.1f} MB", {"bundle": str(output)})
    return ExitCode.DONE


def bundle_run(
    evidence: EvidenceStore, folder: Path, signer: Identity, output: Path, *, known_sizes: Sequence[int] = ()
) -> tuple[int, int]:
    """Write a run's bundle: its evidence with the inputs, card and reports from its folder.

    Returns
    -------
    tuple of int
        How many parts, and how many bytes.

    Raises
    ------
    InputError
        The run judged no model, or what it left is not signed.
    """
    from tallystick.components.core.receipts.bundle import gather, pack

    documents = {name: (folder / name).read_bytes() for name in DOCUMENTS if (folder / name).is_file()}
    if card := evidence.statement("model_card"):
        documents["model_card.md"] = card["predicate"]["markdown"].encode()
    inputs = {path.name: path.read_bytes() for path in sorted((folder / "input").glob("*.yaml"))}
    parts = gather(evidence, signer=signer, inputs=inputs, documents=documents, known_sizes=known_sizes)
    content = pack(parts)
    write_bytes(output, content)
    return len(parts), len(content)


def add_verify_arguments(parser: argparse.ArgumentParser) -> None:
    """`tallystick verify BUNDLE --trust FILE`."""
    _add_json(parser)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument(
        "--trust", type=Path, required=True, metavar="FILE", help="whose signatures you accept, as what"
    )
    parser.add_argument("--digest", default="", help="the model it must be about: sha256:...")


def run_verify(options: argparse.Namespace) -> ExitCode:
    """Verify a bundle offline: 0 it holds, 2 it cannot be read, 3 it does not prove what it should."""
    from tallystick.components.core.receipts.verification import verify_bundle

    trust: TrustPolicy = parse_trust(_text(options.trust), str(options.trust))
    result = verify_bundle(_bytes(options.bundle), trust, digest=options.digest, where=str(options.bundle))
    _say(options, words(result), result.to_json())
    return result.exit_code


def words(result: VerificationResult) -> str:
    """A verification's result for a person."""
    lines = [f"model sha256:{result.digest}", f"run   {result.run}", ""]
    lines += [f"  proved      {text}" for text in result.proved]
    lines += [f"  OVERRIDDEN  {text}" for text in result.overrides]
    lines += [f"  NOT PROVED  {problem.sentence}  [{problem.code}]" for problem in result.problems]
    verdict = "The evidence holds." if result.holds else "The evidence does not hold."
    return "\n".join([*lines, "", verdict])


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document for machines and nothing else")


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_json(parser)
    parser.add_argument("run_id", nargs="?", default="latest", metavar="RUN", help="a run's id (default: latest)")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")
    parser.add_argument("--evidence", help="where its evidence is kept, s3://... (default: the run's folder)")


def _run_of(options: argparse.Namespace) -> tuple[ObjectStore, str]:
    """Store and name of a run; `latest` is the link that local runs keep, by its target's name."""
    run_id = options.run_id
    if options.evidence:
        return open_store(options.evidence), run_id
    folder = (options.runs_dir / run_id).resolve()
    if not (folder / "evidence").is_dir():
        raise InputError(str(options.runs_dir / run_id), "holds no evidence", "an id from the runs folder, or latest")
    options.run_id = folder.name
    return open_store(str(folder / "evidence")), folder.name


def _identity(options: argparse.Namespace) -> Identity:
    """The key that was given, or the environment's, or for a bundle the local run's own."""
    environment = {**os.environ, **({KEY_VARIABLE: options.key} if options.key else {})}
    identity = identity_of(environment)
    if identity:
        return identity
    if not hasattr(options, "since"):
        raise InputError("--key", "is missing", "a person's own key", "make one with `tallystick keys make FILE`")
    return Identity(name="local pipeline", key=str(local_keys(options.runs_dir).key))


def _say(options: argparse.Namespace, text: str, value: dict[str, object]) -> None:
    sys.stdout.write((json.dumps(value, ensure_ascii=False) if options.json else text) + "\n")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})") from error


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode()
    except UnicodeDecodeError as error:
        raise InputError(str(path), "is not UTF-8 text") from error
