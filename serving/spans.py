"""The door to OpenTelemetry: spans made by hand, so that nothing personal is ever in one (OPS-8).

A span says method, route pattern, status and the names of our steps. It holds no path, no query, no header, no id
of a customer or decision, and no text of an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from recsys.errors import InvalidConfiguration

_GROUP = "opentelemetry_traces_exporter"


class _Request:
    """A request's span."""

    def __init__(self, span: Span, *, method: str) -> None:
        self._span = span
        self._method = method

    def answered(self, *, route: str, status: int) -> None:
        """Name the span for its route, and note what came of it."""
        self._span.update_name(f"{self._method} {route}")
        self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)


class Spans:
    """Spans of requests and steps, handed to one processor."""

    def __init__(self, processor: SpanProcessor, *, share: float = 1.0) -> None:
        self._provider = TracerProvider(
            resource=Resource({"service.name": "recsys"}), sampler=ParentBased(TraceIdRatioBased(share))
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("recsys")
        self._carrier = TraceContextTextMapPropagator()

    @classmethod
    def to(cls, exporter: str, *, share: float) -> Spans:
        """Spans to an installed exporter by its name, such as "otlp"; raises `InvalidConfiguration`."""
        known = {each.name: each for each in entry_points(group=_GROUP)}
        if exporter not in known:
            there = ", ".join(sorted(known)) or "none"
            raise InvalidConfiguration(f'setting tracing: no exporter is called "{exporter}"; installed are {there}')
        return cls(BatchSpanProcessor(known[exporter].load()()), share=share)

    @contextmanager
    def request(self, method: str, *, parent: str = "") -> Iterator[_Request]:
        """The span of a request."""
        within = self._carrier.extract({"traceparent": parent})  # no tracestate, no baggage: who knows what is in them
        with self._tracer.start_as_current_span(
            method, context=within, kind=SpanKind.SERVER, attributes={"http.request.method": method},
            record_exception=False, set_status_on_exception=False,
        ) as span:  # fmt: skip
            yield _Request(span, method=method)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """The span of a step; that it failed is noted, and not why."""
        with self._tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False
        ) as span:  # fmt: skip
            try:
                yield
            except BaseException:
                span.set_status(StatusCode.ERROR)
                raise

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()
