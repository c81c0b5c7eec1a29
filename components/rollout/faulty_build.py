"""Bad builds of the model server, for rehearsals: real processes with the right model and one fault each.

The faults are here alone; the product's server has none of this. Each passes every check that a build meets before
traffic does: it starts, its model has the right digest, it says that it is ready.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
from dataclasses import dataclass, replace

from starlette.types import Receive, Scope, Send

from tallystick.components.core.model_package import ModelPackage
from tallystick.components.model_server.app import Service
from tallystick.components.model_server.counters import Counters
from tallystick.components.model_server.inputs import Values
from tallystick.components.model_server.logs import Log
from tallystick.components.model_server.protocol import InferRequest, Reasons, RequestReader
from tallystick.components.model_server.scoring import Answer, Scorer
from tallystick.components.model_server.settings import Settings
from tallystick.components.rollout.builds import OtherInputsReader, serve_build


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is wrong with a build; nothing by default.

    Attributes
    ----------
    fail_every
        Every so-many-th request breaks; 0 for none.
    delay_s
        Each answer comes this much later.
    no_number
        Every score is NaN.
    garbage
        The metrics endpoint answers what are no metrics.
    columns, factor
        Numbers that are read in the wrong unit, `factor` times too large.
    """

    fail_every: int = 0
    delay_s: float = 0.0
    no_number: bool = False
    garbage: bool = False
    columns: tuple[str, ...] = ()
    factor: float = 1.0


class BreakingScorer:
    """A scorer that breaks on every so-many-th request, as a build with a broken dependency does."""

    def __init__(self, scorer: Scorer, every: int) -> None:
        self._scorer, self._every, self._asked = scorer, every, 0

    def ready(self) -> bool:
        """The probe sees nothing."""
        return self._scorer.ready()

    def answer(self, columns: list[Values], reasons: Reasons, *, deadline: float = float("inf")) -> Answer:
        """Break, or answer as the product does."""
        self._asked += 1
        if self._asked % self._every == 0:
            raise RuntimeError("the feature store did not answer")
        return self._scorer.answer(columns, reasons, deadline=deadline)


class NanScorer(BreakingScorer):
    """A scorer whose scores are no numbers."""

    def answer(self, columns: list[Values], reasons: Reasons, *, deadline: float = float("inf")) -> Answer:
        """The product's answer without its scores."""
        answer = self._scorer.answer(columns, reasons, deadline=deadline)
        return replace(answer, scores=[math.nan] * len(answer.scores))


class GarbageCounters(Counters):
    """Counters whose endpoint shows something else."""

    def exposition(self) -> bytes:
        """What a misrouted port answers."""
        return b"<html><body>502 Bad Gateway</body></html>"


class SlowService(Service):
    """A server that waits for something before each answer."""

    delay_s = 0.0

    async def infer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, then answer."""
        await asyncio.sleep(self.delay_s)
        await super().infer(scope, receive, send)


class WrongUnitReader(OtherInputsReader):
    """Reads numbers in the wrong unit, after they have passed the checks."""

    def __init__(
        self,
        package: ModelPackage,
        *,
        maximum_rows: int,
        others: frozenset[str],
        columns: tuple[str, ...],
        factor: float,
    ) -> None:
        super().__init__(package, maximum_rows=maximum_rows, others=others)
        names = [feature.name for feature in package.interface.features]
        self._places = [names.index(column) for column in columns]
        self._factor = factor

    def read(self, body: bytes) -> InferRequest:
        """Read, then multiply."""
        request = super().read(body)
        columns = list(request.columns)
        for place in self._places:
            columns[place] = [None if value is None else value * self._factor for value in columns[place]]
        return replace(request, columns=columns)


def faulty_service(
    fault: Fault,
    others: frozenset[str],
    package: ModelPackage,
    scorer: Scorer,
    counters: Counters,
    settings: Settings,
    log: Log,
) -> Service:
    """The product's service with one fault."""
    service = SlowService(package, scorer, GarbageCounters(package) if fault.garbage else counters, settings, log)
    service.delay_s = fault.delay_s
    reader: RequestReader = OtherInputsReader(package, maximum_rows=settings.maximum_rows, others=others)
    if fault.columns:
        reader = WrongUnitReader(
            package, maximum_rows=settings.maximum_rows, others=others, columns=fault.columns, factor=fault.factor
        )
    service.reader = reader
    if fault.fail_every:
        service.scorer = BreakingScorer(scorer, fault.fail_every)  # type: ignore[assignment]
    if fault.no_number:
        service.scorer = NanScorer(scorer, 0)  # type: ignore[assignment]
    return service


def main() -> int:
    """`python -m tallystick.components.rollout.faulty_build --fail-every 3 ...` with the model server's arguments."""
    parser = argparse.ArgumentParser(prog="faulty_build", description="a bad build of the model server")
    parser.add_argument("--fail-every", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--no-number", action="store_true")
    parser.add_argument("--garbage", action="store_true")
    parser.add_argument("--columns", default="", help="by comma")
    parser.add_argument("--factor", type=float, default=1.0)
    parser.add_argument("--others", default="")
    options, rest = parser.parse_known_args()
    fault = Fault(
        fail_every=options.fail_every,
        delay_s=options.delay,
        no_number=options.no_number,
        garbage=options.garbage,
        columns=tuple(filter(None, options.columns.split(","))),
        factor=options.factor,
    )
    others = frozenset(options.others.split(","))

    def make(package: ModelPackage, scorer: Scorer, counters: Counters, settings: Settings, log: Log) -> Service:
        return faulty_service(fault, others, package, scorer, counters, settings, log)

    return serve_build(rest, make)


if __name__ == "__main__":
    sys.exit(main())
