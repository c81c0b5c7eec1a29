"""Builds of the model server that a trial starts in place of the product's own, each a real server process.

The first lives here: two models of one contract need not take the same inputs (a fairer one may leave some out),
while the gateway sends every request to either. This build reads the contract's other inputs past.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson

from tallystick.components.core.errors import ExitCode, TallystickError
from tallystick.components.core.model_package import ModelPackage, read_package
from tallystick.components.model_server.__main__ import parse_settings
from tallystick.components.model_server.app import Service
from tallystick.components.model_server.counters import Counters
from tallystick.components.model_server.logs import Log
from tallystick.components.model_server.protocol import InferRequest, RequestReader
from tallystick.components.model_server.scoring import Scorer, load_session
from tallystick.components.model_server.serving import listen, serve
from tallystick.components.model_server.settings import Settings

MakeService = Callable[[ModelPackage, Scorer, Counters, Settings, Log], Service]


class OtherInputsReader(RequestReader):
    """Reads requests that also hold inputs of the contract which this model does not take."""

    def __init__(self, package: ModelPackage, *, maximum_rows: int, others: frozenset[str]) -> None:
        super().__init__(package, maximum_rows=maximum_rows)
        self._others = others

    def read(self, body: bytes) -> InferRequest:
        """Drop the other inputs, then read as always; what is no JSON is left for the reader to refuse."""
        try:
            document = orjson.loads(body)
            inputs = document["inputs"]
            kept = [tensor for tensor in inputs if tensor["name"] not in self._others]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return super().read(body)
        return super().read(orjson.dumps({**document, "inputs": kept}))


def serve_build(arguments: Sequence[str], make_service: MakeService) -> int:
    """Run a build on a local model folder until it is told to end, as the model server's own command does."""
    settings = parse_settings(arguments, {})
    log = Log()
    try:
        package = read_package(Path(settings.model), expected_digest=settings.digest or None)
        scorer = Scorer(package, load_session(package))
        service = make_service(package, scorer, Counters(package), settings, log)
        serve(service, [listen(settings.host, settings.port)])
    except (TallystickError, OSError) as error:
        log.line("error", "not_started", reason=str(error))
        return int(ExitCode.BROKE)
    return int(ExitCode.DONE)


def main() -> int:
    """`python -m tallystick.components.rollout.builds --others a,b ...` with the model server's own arguments."""
    parser = argparse.ArgumentParser(prog="builds", description="the model server, reading other inputs past")
    parser.add_argument(
        "--others", required=True, help="inputs of the contract that this model does not take, by comma"
    )
    options, rest = parser.parse_known_args()
    others = frozenset(options.others.split(","))

    def make(package: ModelPackage, scorer: Scorer, counters: Counters, settings: Settings, log: Log) -> Service:
        service = Service(package, scorer, counters, settings, log)
        service.reader = OtherInputsReader(package, maximum_rows=settings.maximum_rows, others=others)
        return service

    return serve_build(rest, make)


if __name__ == "__main__":
    sys.exit(main())
