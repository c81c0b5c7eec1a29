"""Which approvals count. The API server has checked each when it was made; here it is checked again.

Admission looks at the rollouts it knows at that moment. An approval that was made before its rollout, or before
the policies were installed, would otherwise count although nobody asked whether an author had made it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tallystick.components.rollout_controller.release import Release


@dataclass(frozen=True, kw_only=True)
class Approval:
    """One ModelApproval."""

    name: str
    rollout: str
    digest: str
    approver: str
    decision: str
    created_s: float


@dataclass(frozen=True, kw_only=True)
class Consent:
    """What the people who may decide have decided.

    Attributes
    ----------
    granted
        Enough different people have approved and nobody has rejected.
    rejected_by
        Who rejected it; empty for nobody.
    counted, passed_over
        Approvals that count, and with a reason each those that do not.
    """

    granted: bool
    rejected_by: str
    counted: tuple[Approval, ...]
    passed_over: tuple[str, ...]
    sentence: str


def consent(release: Release, approvals: Iterable[Approval]) -> Consent:
    """Count the approvals of one rollout; the last word of each person holds."""
    mine = sorted((a for a in approvals if a.rollout == release.name), key=lambda a: (a.created_s, a.name))
    counted: dict[str, Approval] = {}
    passed_over = []
    for approval in mine:
        if objection := _objection(release, approval):
            passed_over.append(f"{approval.name} does not count: {objection}")
        else:
            counted[approval.approver] = approval
    rejected = next((a.approver for a in counted.values() if a.decision == "Reject"), "")
    people = sorted(a.approver for a in counted.values() if a.decision == "Approve")
    granted = not rejected and len(people) >= release.approvals_required
    if rejected:
        sentence = f"rejected by {rejected}"
    elif release.approvals_required == 0:
        sentence = "no approval is required"
    else:
        sentence = f"{len(people)} of {release.approvals_required} approvals"
        sentence += f": {', '.join(people)}" if people else ""
    return Consent(
        granted=granted,
        rejected_by=rejected,
        counted=tuple(counted.values()),
        passed_over=tuple(passed_over),
        sentence=sentence,
    )


def _objection(release: Release, approval: Approval) -> str:
    if approval.digest != release.digest:
        return "it is for another digest"
    if approval.approver in release.authors:
        return f"{approval.approver} is one of the authors"
    if approval.created_s < release.created_s:
        return "it is older than the rollout"
    return ""
