"""The HTTP side: routes of the Open Inference Protocol, limits, counting, and what is logged.

Every request gets an answer in JSON; what the caller did wrong is never a 5xx. The arithmetic is elsewhere.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tallystick.components.core.model_package import ModelPackage
from tallystick.components.model_server.counters import Counters
from tallystick.components.model_server.logs import Log
from tallystick.components.model_server.openapi import describe
from tallystick.components.model_server.prediction_log import Entry, PredictionLog
from tallystick.components.model_server.protocol import InferRequest, RequestReader, example_request, metadata
from tallystick.components.model_server.refusals import Outcome, RefusedRequestError
from tallystick.components.model_server.scoring import Answer, Scorer
from tallystick.components.model_server.settings import Settings

_INLINE_ROWS = 8
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_JSON = (b"content-type", b"application/json")


class Service:
    """One model behind HTTP.

    `draining` is set when the process was told to end: it is then no longer ready, and asks callers to close.
    `last_request` is when the last call to `infer` came, on the monotonic clock.
    """

    def __init__(
        self,
        package: ModelPackage,
        scorer: Scorer,
        counters: Counters,
        settings: Settings,
        log: Log,
        predictions: PredictionLog | None = None,
    ) -> None:
        self.predictions = predictions
        self.package, self.scorer, self.counters, self.settings, self.log = package, scorer, counters, settings, log
        self.names = {package.name, *([settings.name] if settings.name else [])}
        self.name = settings.name or package.name
        self.reader = RequestReader(package, maximum_rows=settings.maximum_rows)
        self.draining = False
        self.last_request = time.monotonic()
        self._many_rows = ThreadPoolExecutor(max_workers=1, thread_name_prefix="explain")

    async def infer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call; the counters are right before the answer leaves."""
        started = time.perf_counter()
        self.last_request = time.monotonic()
        headers = dict(scope["headers"])
        request_id, trace = _request_id(headers), _trace(headers)
        outcome: Outcome = "ok"
        status, rows, kind, field = 200, 0, "", ""
        try:
            self.check_model(scope["path_params"])
            body = await self._body(headers, receive)
            request = self.reader.read(body)
            rows = request.rows
            answer = await self._answer(request)
            self.counters.answered(request.columns, answer.scores, answer.decisions)
            content = self._content(request, answer)
            if self.predictions:
                self._keep(self.predictions, request_id, answer)
        except RefusedRequestError as refusal:
            outcome, status, kind, field = refusal.outcome, refusal.status, refusal.kind, refusal.feature
            self.counters.error(refusal.kind, feature=refusal.feature, out_of_range=refusal.out_of_range)
            content = orjson.dumps({"error": str(refusal)})
        except Exception as error:  # whatever it is, the caller gets an answer and it is counted
            outcome, status, kind = "error", 500, "internal"
            self.counters.error("internal")
            self.log.line("error", "failed", request_id=request_id, error=type(error).__name__, where=_where(error))
            content = orjson.dumps({"error": "internal error", "request_id": request_id})
        duration_s = time.perf_counter() - started
        self.counters.request(outcome, duration_s)
        if self.settings.log_requests or outcome != "ok":
            self.log.line(
                "info" if outcome == "ok" else "warning",
                "infer",
                request_id=request_id,
                outcome=outcome,
                status=status,
                rows=rows,
                duration_ms=round(duration_s * 1e3, 3),
                **({"trace_id": trace[0][1][3:35].decode()} if trace else {}),
                **({"kind": kind, "feature": field} if kind else {}),
            )
        timing = (b"server-timing", b"infer;dur=%.3f" % (duration_s * 1e3))
        extra = [(b"x-request-id", request_id.encode()), timing, *trace]
        await self._send(send, status, content, extra, close=self.draining or status in (408, 413))

    async def _answer(self, request: InferRequest) -> Answer:
        deadline = time.monotonic() + self.settings.compute_timeout_s
        if request.rows <= _INLINE_ROWS:
            return self.scorer.answer(request.columns, request.reasons, deadline=deadline)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._many_rows, lambda: self.scorer.answer(request.columns, request.reasons, deadline=deadline)
        )

    def check_model(self, parameters: dict[str, str]) -> None:
        """404 for a model or version that is not served here."""
        if parameters["name"] not in self.names:
            raise RefusedRequestError(404, "invalid_request", f"no such model; served here: {self.name}")
        if parameters.get("version", self.package.version) != self.package.version:
            raise RefusedRequestError(404, "invalid_request", f"no such version; served here: {self.package.version}")

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        if b"inference-header-content-length" in headers:
            raise RefusedRequestError(400, "invalid_request", "binary tensors are not spoken here: send JSON")
        limit = self.settings.maximum_body_bytes
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.settings.read_timeout_s):
                while True:
                    message: Message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RefusedRequestError(
                            400, "invalid_request", "the caller went away before the body was here"
                        )
                    part = message.get("body", b"")
                    size += len(part)
                    if size <= limit:
                        parts.append(part)
                    elif size > 4 * limit:  # a little more is read, so that the caller can read the answer
                        break
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise RefusedRequestError(408, "timeout", "the body did not arrive in time") from None
        if size > limit:
            raise RefusedRequestError(413, "too_large", f"the body is larger than {limit} bytes")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _keep(self, predictions: PredictionLog, request_id: str, answer: Answer) -> None:
        entry = Entry(
            request_id=request_id,
            model=self.package.name,
            version=self.package.version,
            digest=f"sha256:{self.package.digest}",
            scores=answer.scores,
            decisions=list(answer.decisions),
            reasons=answer.reasons,
        )
        if not predictions.write(entry):
            self.counters.error("prediction_log")

    def _content(self, request: InferRequest, answer: Answer) -> bytes:
        data: dict[str, tuple[str, Callable[[], list[Any]]]] = {
            "probability": ("FP64", lambda: answer.scores),
            "decision": ("BYTES", lambda: list(answer.decisions)),
            "reasons": ("BYTES", lambda: [orjson.dumps(reasons).decode() for reasons in answer.reasons]),
        }
        outputs = [
            {"name": name, "datatype": data[name][0], "shape": [request.rows], "data": data[name][1]()}
            for name in request.outputs
        ]
        return orjson.dumps(
            {
                "model_name": self.name,
                "model_version": self.package.version,
                **({"id": request.id} if request.id else {}),
                "parameters": {"digest": f"sha256:{self.package.digest}"},
                "outputs": outputs,
            }
        )

    async def _send(
        self, send: Send, status: int, content: bytes, extra: list[tuple[bytes, bytes]], *, close: bool
    ) -> None:
        headers = [_JSON, (b"content-length", str(len(content)).encode()), *extra]
        if close:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


class Infer:
    """The route's endpoint as a bare ASGI application: no request object, no response object."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        await self._service.infer(scope, receive, send)


class InferFirst:
    """Hands calls of the one path that is hot to `infer` at once, and all others to the router."""

    def __init__(self, service: Service, router: ASGIApp) -> None:
        self._service, self._router = service, router
        self._hot = {f"/v2/models/{name}/infer": {"name": name} for name in service.names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        parameters = self._hot.get(scope.get("path", ""))
        if parameters is None or scope.get("method") != "POST":
            await self._router(scope, receive, send)
            return
        scope["path_params"] = parameters
        await self._service.infer(scope, receive, send)


def make_app(service: Service) -> ASGIApp:
    """All routes of one model."""
    package = service.package

    def known(answer: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
        async def checked(request: Request) -> Response:
            try:
                service.check_model(request.path_params)
            except RefusedRequestError as refusal:
                return _json({"error": str(refusal)}, refusal.status)
            return answer(request)

        return checked

    async def live(_: Request) -> Response:
        return _json({"live": True})

    async def ready(_: Request) -> Response:
        return _ready(service)

    async def server_metadata(_: Request) -> Response:
        return _json({"name": "tallystick-model-server", "version": _version(), "extensions": []})

    async def metrics(_: Request) -> Response:
        return Response(service.counters.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def openapi(_: Request) -> Response:
        return _json(published)

    described = metadata(package, service.name)
    example = example_request(package)
    published = describe(package, service.name, maximum_rows=service.settings.maximum_rows)
    routes = [
        Route("/v2/health/live", live),
        Route("/v2/health/ready", ready),
        Route("/v2", server_metadata),
        Route("/openapi.json", openapi),
        Route("/metrics", metrics),
        Route("/prometheus", metrics),
    ]
    for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        routes.insert(0, Route(f"{path}/infer", Infer(service), methods=["POST"]))
        routes.append(Route(path, known(lambda _: _json(described))))
        routes.append(Route(f"{path}/example", known(lambda _: _json(example))))
        routes.append(Route(f"{path}/ready", known(lambda _: _ready(service))))
    return InferFirst(service, Starlette(routes=routes, exception_handlers={HTTPException: _http_error}))


def _ready(service: Service) -> Response:
    if service.draining:
        return _json({"ready": False, "error": "draining"}, 503)
    return _json({"ready": True}) if service.scorer.ready() else _json({"ready": False, "error": "wrong score"}, 503)


async def _http_error(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    return _json({"error": str(getattr(error, "detail", "internal error"))}, status, headers)


def _json(value: Any, status: int = 200, headers: Any = None) -> Response:
    return Response(orjson.dumps(value), status, headers, media_type="application/json")


def _request_id(headers: dict[bytes, bytes]) -> str:
    """The caller's id where it is harmless to log, else a new one."""
    given = headers.get(b"x-request-id") or headers.get(b"seldon-puid") or b""
    return given.decode("ascii") if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _trace(headers: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """W3C trace context (https://www.w3.org/TR/trace-context/) to pass on, where it is well formed."""
    parent = headers.get(b"traceparent", b"")
    if not _TRACEPARENT.fullmatch(parent):
        return []
    state = headers.get(b"tracestate", b"")
    return [(b"traceparent", parent), *([(b"tracestate", state)] if 0 < len(state) <= 512 else [])]


def _where(error: BaseException) -> str:
    """File and line of an error: a traceback's text could hold an applicant's values."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""


def _version() -> str:
    from importlib import metadata as installed

    try:
        return installed.version("tallystick")
    except installed.PackageNotFoundError:
        return "unknown"
