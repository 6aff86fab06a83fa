"""Spans of requests and steps go to whoever collects them, and hold nothing personal (OPS-8)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from recsys.clocks import FixedClock
from recsys.errors import InvalidConfiguration
from recsys.keys import Keys, Scope
from serving.bootstrap import compose, serve
from serving.settings import Settings
from serving.spans import Spans
from serving.tracing import Untraced, tracing_of
from tests.builders import START
from tests.service import App, apply_products, serving

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def app(tmp_path: Path, spans: InMemorySpanExporter) -> Iterator[App]:
    apply_products(tmp_path)
    chosen = Settings(home=tmp_path, holdout_share=0.0, uniform_share=0.0)
    service = serve(compose(chosen, clock=FixedClock(START)))
    service.tracing = Spans(SimpleSpanProcessor(spans))
    keys = {"backend": Keys(service.home.database).create("backend", scopes=[Scope.RECOMMEND])}
    with serving(service, keys=keys) as running_app:
        yield running_app


def named(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans.get_finished_spans()}


def test_a_request_is_a_span_with_its_steps_inside_its_callers_trace(app: App, spans: InMemorySpanExporter) -> None:
    app.tell()
    spans.clear()
    body = {"customer_id": "ann", "surface": "savings", "slots": 1}
    app.ask("POST", "/v1/recommendations", json=body, headers=SAMPLED)
    found = named(spans)
    assert set(found) == {"POST /v1/recommendations", "profile", "decide", "commit"}
    whole = found["POST /v1/recommendations"]
    assert format(whole.context.trace_id, "032x") == TRACE
    for step in ("profile", "decide", "commit"):
        assert found[step].parent is not None
        assert found[step].parent.span_id == whole.context.span_id
        assert whole.start_time <= found[step].start_time <= found[step].end_time <= whole.end_time  # type: ignore[operator]
    assert dict(whole.attributes or {}) == {
        "http.request.method": "POST", "http.route": "/v1/recommendations", "http.response.status_code": 200,
    }  # fmt: skip


def test_ops_8_no_span_holds_anything_personal(app: App, spans: InMemorySpanExporter) -> None:
    odd = {**SAMPLED, "tracestate": "bank=canary-state", "baggage": "who=canary-bag"}
    app.tell("canary-1")
    app.ask("POST", "/v1/recommendations", json={"customer_id": "canary-2", "surface": "canary-3", "slots": 1},
            headers=odd)  # fmt: skip
    app.ask("GET", "/v1/decisions/canary-4?canary-5=1", headers=odd)
    app.ask("GET", "/canary-6", headers=odd)
    told = "".join(span.to_json() for span in spans.get_finished_spans())
    assert "POST /v1/recommendations" in told
    assert "canary" not in told
    assert app.keys["backend"] not in told


def test_a_fault_of_ours_is_marked_and_its_text_kept_out(
    app: App, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("canary")

    monkeypatch.setattr(app.service.recommender, "decide", broken, raising=False)
    with pytest.raises(ZeroDivisionError):
        app.post("/v1/recommendations", {"customer_id": "ann", "surface": "savings", "slots": 1})
    found = named(spans)
    assert found["decide"].status.status_code is StatusCode.ERROR
    assert found["POST /v1/recommendations"].status.status_code is StatusCode.ERROR
    assert "canary" not in "".join(span.to_json() for span in found.values())


@pytest.mark.parametrize("header", ["", "x", "00-zz-zz-01", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "a" * 9_000])
def test_an_odd_traceparent_harms_nobody(app: App, header: str) -> None:
    body = {"customer_id": "ann", "surface": "savings", "slots": 1}
    assert app.ask("POST", "/v1/recommendations", json=body, headers={"traceparent": header}).status_code == 200


def test_exporters_are_found_by_name_and_none_is_the_default() -> None:
    assert isinstance(tracing_of("", share=1.0), Untraced)
    tracing_of("console", share=0.0).close()
    with pytest.raises(InvalidConfiguration, match=r'no exporter is called "otpl"; installed are .*console'):
        tracing_of("otpl", share=1.0)
