"""What a verification finds: what was proved, and each problem with its place and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tallystick.components.core.errors import ExitCode, InputError
from tallystick.components.core.evidence import STATEMENT_TYPE
from tallystick.components.core.receipts.dsse import Envelope, read_envelope
from tallystick.components.core.receipts.predicates import form_problem, kind_of
from tallystick.components.core.receipts.trust import ROLE_OF_KIND, TrustedKey, TrustPolicy


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that is not proved.

    Attributes
    ----------
    code
        For machines: ``wrong_role``.
    where
        The part or step.
    sentence
        For a person.
    """

    code: str
    where: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """One statement with what was found out about it.

    Attributes
    ----------
    signer
        The trusted key that signed it; None where none did.
    index
        Its place in the log; None where it stands in none.
    """

    step: str
    kind: str
    envelope: Envelope
    statement: Mapping[str, Any]
    signer: TrustedKey | None
    at: datetime
    index: int | None = None

    @property
    def predicate(self) -> Mapping[str, Any]:
        """What it says."""
        said: Mapping[str, Any] = self.statement["predicate"]
        return said


@dataclass(frozen=True, kw_only=True)
class VerificationResult:
    """Whether a model's evidence holds, and why.

    Attributes
    ----------
    digest
        SHA-256 of the model that the evidence is about, hexadecimal.
    overrides
        What a person let pass although a gate said no: part of the truth, whether the rest holds or not.
    """

    digest: str
    run: str
    problems: tuple[Problem, ...]
    proved: tuple[str, ...]
    overrides: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """No problem at all."""
        return not self.problems

    @property
    def exit_code(self) -> ExitCode:
        """0 or 3."""
        return ExitCode.DONE if self.holds else ExitCode.GATE_REFUSED

    def sentence(self) -> str:
        """One line."""
        if self.holds:
            return f"sha256:{self.digest}: the evidence holds"
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        return f"sha256:{self.digest}: the evidence does not hold: {self.problems[0].sentence}{more}"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "holds": self.holds,
            "digest": f"sha256:{self.digest}",
            "run": self.run,
            "proved": list(self.proved),
            "overrides": list(self.overrides),
            "problems": [vars(problem) for problem in self.problems],
            "exit_code": int(self.exit_code),
        }


@dataclass
class Findings:
    """Collects while a verification goes on."""

    problems: list[Problem] = field(default_factory=list)
    proved: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)

    def problem(self, code: str, where: str, sentence: str) -> None:
        """Add one problem."""
        self.problems.append(Problem(code=code, where=where, sentence=sentence))


def authenticate(step: str, content: bytes, trust: TrustPolicy, findings: Findings) -> Receipt | None:
    """Find out who signed a statement and whether they may; None where it cannot even be read.

    The role is that of what the statement says it is: a key for approvals cannot sign a verdict.
    """
    if b'"payloadType"' not in content and STATEMENT_TYPE.encode() in content:
        findings.problem("not_signed", step, f"{step} is not signed")
        return None
    try:
        envelope = read_envelope(content, step)
        statement = envelope.statement()
    except InputError as error:
        findings.problem("unreadable", step, f"{step} cannot be read as a signed statement ({error})")
        return None
    form = form_problem(statement)
    if form:
        findings.problem("wrong_form", step, f"{step} {form}")
        return None
    at = datetime.fromisoformat(statement["predicate"]["at"]).astimezone(UTC)
    kind = kind_of(statement)
    signer = _signer(step, kind, envelope, at, trust, findings)
    if signer and statement["predicate"]["by"]["key"] != signer.key.key_id:
        findings.problem("wrong_signer", step, f"{step} names another key than the one that signed it")
    return Receipt(step=step, kind=kind, envelope=envelope, statement=statement, signer=signer, at=at)


def _signer(
    step: str, kind: str, envelope: Envelope, at: datetime, trust: TrustPolicy, findings: Findings
) -> TrustedKey | None:
    if not envelope.signatures:
        findings.problem("not_signed", step, f"{step} is not signed")
        return None
    known = [key for s in envelope.signatures if (key := trust.key_by_id(s.key_id))]
    if not known:
        shown = envelope.signatures[0].key_id[:12]
        findings.problem("unknown_key", step, f"{step} is signed by a key that the trust file does not know ({shown})")
        return None
    signers = [key for key in known if envelope.signed_by(key.key)]
    if not signers:
        findings.problem("bad_signature", step, f"{step} was altered: its signature is not by {known[0].name}")
        return None
    objections = [key.objection(ROLE_OF_KIND[kind], at) for key in signers]
    for key, objection in zip(signers, objections, strict=True):
        if objection is None:
            return key
    code, sentence = next(objection for objection in objections if objection)
    findings.problem(code, step, f"{step}: {sentence}")
    return None
