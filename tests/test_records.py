"""Events as text and back: exact, small, erasable, and readable for years."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandits.baselines import UniformPolicy
from bandits.drawing import draw_slate, everything_open, verify
from recsys import catalogue, eligibility, features
from recsys.bank.world import Bank
from recsys.errors import Corrupt
from recsys.records import SCHEMA, Record, decode, encode, exposed, micros, moment, parsed_part
from recsys.vocabulary import (
    NOTHING,
    OUT_OF_DATE,
    Body,
    Candidate,
    Context,
    Decision,
    Display,
    Erasure,
    Fact,
    Override,
    PermissionChange,
    Permissions,
    Profile,
    Reason,
    Slot,
    Switch,
    Token,
    Verdicts,
)
from tests.builders import START, VERSIONS, at, decision, outcome

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "data" / "events_schema_1.jsonl"
LATER = at(3)

PLAIN: tuple[Body, ...] = (
    Display("d-1", START, ("pot", "loan")),
    Display("d-1", START, ()),
    outcome("o-1", decision_id="d-1", amount_pence=1_250),
    outcome("o-2", product_id="cash-isa", kind="opened"),
    PermissionChange(Token("t-1"), Permissions(in_app=True, push=True, email=True, targeted_support=True), START),
    PermissionChange(Token("t-1"), Permissions(objected_at=START), LATER),
    Switch("family", "credit", off=True, reason="drill", by="ada@bank"),
    Switch("everything", "", off=False, reason="over — “all clear”", by="ada@bank", expires_at=LATER),
    Override("ov-1", "boost", "pot", 0.25, "ISA season", "ada@bank", LATER),
    Erasure("e-1", Token("t-1"), ("profiles", "log")),
)
FULL = replace(
    decision(
        "d-full",
        shown=("pot", NOTHING),
        candidates=("pot", "cash-isa", NOTHING),
        experiments={"home-bandit": "bandit"},
        unit="u-1",
        request_id="r-1",
        facts={
            "balance_pence": Fact(120_050, START, "bank"),
            "held": Fact(("pot", "flex"), at(-3), "bank"),
            "credit_declined_on": Fact(None, START, "bureau"),
            "age_verified": Fact(value=True, as_of=START),
            "emergency_months": Fact(2.5, START),
        },
        context=Context(("payday", "low"), (0.1, 1.0)),
    ),
    permissions=Permissions(in_app=True, objected_at=at(-9)),
    redraws=2,
    shortfall="cap",
    retrieval="vector",
    overrides=("ov-1",),
    latency_us=4_321,
)


def read(record: Record, *, personal: bool = True, schema: int = SCHEMA) -> Body:
    text = record.text if personal else json.dumps(json.loads(record.text) | {"personal": None})
    return decode(
        record.kind, text, token=record.token, schema=schema, lookup=lambda ref: parsed_part(record.parts[ref])
    )


@pytest.mark.parametrize("body", [*PLAIN, decision(), FULL], ids=lambda body: type(body).__name__)
def test_every_body_comes_back_as_it_went(body: Body) -> None:
    found = read(encode(body))
    assert encode(found) == encode(body)
    if not isinstance(body, Decision):  # arrays have no equality of their own
        assert found == body


def test_a_decision_comes_back_whole() -> None:
    found = read(encode(FULL))
    assert isinstance(found, Decision)
    for name in ("facts", "permissions", "context", "candidates", "slots", "experiments", "versions", "request_id"):
        assert getattr(found, name) == getattr(FULL, name), name
    for name in ("scores", "pmfs"):
        np.testing.assert_array_equal(getattr(found, name), getattr(FULL, name), strict=True)
    np.testing.assert_array_equal(found.verdicts.allowed, FULL.verdicts.allowed, strict=True)
    assert found.verdicts.expanded() == FULL.verdicts.expanded()
    assert (found.made_at, found.expires_at, found.redraws) == (FULL.made_at, FULL.expires_at, 2)


ids = st.sampled_from(["pot", "loan", "flex", "cash-isa", "pension"])
times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
numbers = st.floats(allow_nan=False, allow_infinity=False)
values = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**12), 10**12), numbers, st.text(), st.tuples(st.text(max_size=3))
)


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    products = [*draw(st.lists(ids, unique=True, max_size=5)), NOTHING]
    shown = products[: draw(st.integers(0, len(products)))]
    made_at = draw(times)
    ages = st.timedeltas(timedelta(0), timedelta(days=9_999))
    facts = draw(
        st.dictionaries(st.text(max_size=8), st.builds(lambda v, age: Fact(v, made_at - age), values, ages), max_size=4)
    )
    names = draw(st.lists(st.text(max_size=4), unique=True, max_size=4))
    built = decision(
        draw(st.text(min_size=1, max_size=12)),
        made_at=made_at,
        shown=shown,
        candidates=products,
        facts=facts,
        context=Context(tuple(names), tuple(draw(numbers) for _ in names)),
        request_id=draw(st.none() | st.text(max_size=5)),
        unit=draw(st.text(max_size=5)),
    )
    affinities = [draw(st.none() | numbers) for _ in products]
    candidates = tuple(
        replace(each, affinity=affinity) for each, affinity in zip(built.candidates, affinities, strict=True)
    )
    scores = np.array([draw(numbers) for _ in products])
    rules = tuple(draw(st.lists(st.text(max_size=5), max_size=11)))
    allowed = np.array(draw(st.lists(st.booleans(), min_size=len(products) * len(rules), max_size=99)), dtype=np.bool_)
    verdicts = replace(
        built.verdicts,
        products=tuple(products),
        rules=rules,
        reasons=rules,
        allowed=allowed[: len(products) * len(rules)].reshape(len(products), len(rules)),
    )
    return replace(built, candidates=candidates, scores=scores, verdicts=verdicts)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(decisions())
def test_any_decision_round_trips_and_its_exposure_is_read_alone(body: Decision) -> None:
    record = encode(body)
    found = read(record)
    assert encode(found) == record
    assert isinstance(found, Decision)
    assert found.facts == dict(body.facts)
    assert found.candidates == body.candidates
    np.testing.assert_array_equal(found.pmfs, body.pmfs)
    np.testing.assert_array_equal(found.verdicts.allowed, body.verdicts.allowed)
    brief = exposed(record.text, token=record.token, lookup=lambda ref: parsed_part(record.parts[ref]))
    known = (body.decision_id, body.unit, body.made_at, body.surface)
    assert (brief.decision_id, brief.unit, brief.made_at, brief.surface) == known


# -- realistic decisions -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def realistic() -> list[Decision]:
    """What a real service would log: the bank's customers, the UK rule pack, every product a candidate."""
    offer = catalogue.load(ROOT / "recsys/bank/catalogue.toml")
    pack = eligibility.load(ROOT / "recsys/rules/gb.toml")
    start = datetime(2026, 3, 2, tzinfo=UTC)
    bank = Bank.create(customers=120, seed=7, start=start, catalogue=offer.ids)
    bank.begin_day()
    told = bank.facts(range(120))
    found = []
    for n, (customer_id, facts) in enumerate(told):
        token = Token(f"token-of-16-by-{n:03}")
        stamped = MappingProxyType({name: Fact(value, start) for name, value in facts.items()})
        profile = Profile(customer_id, token, stamped, Permissions(in_app=True, push=True))
        verdicts = pack.verdicts(profile, products=offer.products, surface="home", at=START)
        affinities = np.random.default_rng(n).normal(size=len(offer.products))
        candidates = [
            *(features.candidate_of(p, affinity=float(a)) for p, a in zip(offer.products, affinities, strict=True)),
            Candidate(NOTHING),
        ]
        context = features.context_of(profile, at=START, surface="home", given={})
        decision_id = f"01K{n:05}ABCDEFGHJKMNPQRSTV"
        drawn = draw_slate(
            UniformPolicy(),
            context,
            candidates,
            length=3,
            decision_id=decision_id,
            mask_of=everything_open(len(candidates)),
        )
        reasons = (Reason("interest", "Because of how you save"),)
        slots = tuple(
            Slot(k, candidates[row].product_id, candidates[row].creative_id, propensity, reasons)
            for k, (row, propensity) in enumerate(zip(drawn.rows, drawn.propensities, strict=True), start=1)
        )
        base = decision(
            decision_id,
            token=token,
            facts=features.facts_used(profile),
            context=context,
            experiments={"home-bandit": "bandit"},
            unit="0123456789abcdef",
            request_id=f"request-{n:08}",
            versions=replace(VERSIONS, catalogue=offer.digest, rule_pack=pack.digest),
        )
        found.append(
            replace(
                base,
                verdicts=verdicts,
                candidates=tuple(candidates),
                scores=drawn.scores + affinities.sum(),
                pmfs=drawn.pmfs,
                slots=slots,
                n_slots=3,
            )
        )
    return found


def test_a_realistic_decision_takes_at_most_four_kilobytes_at_the_median(realistic: list[Decision]) -> None:
    one = realistic[0]
    assert one.verdicts.allowed.shape[0] == 21
    assert one.verdicts.allowed.shape[1] >= 35
    assert len(one.context.values) >= 30
    sizes = [len(encode(each).text.encode()) for each in realistic]
    assert np.median(sizes) <= 4_096, f"median {np.median(sizes)}, greatest {max(sizes)}"


def test_realistic_decisions_share_nearly_all_their_parts(realistic: list[Decision]) -> None:
    parts: dict[str, str] = {}
    for each in realistic:
        parts |= encode(each).parts
    alone = sum(len(encode(each).parts) for each in realistic)
    assert len(parts) < alone / 10


def test_erasing_the_personal_part_leaves_a_skeleton_that_still_verifies(realistic: list[Decision]) -> None:
    for each in realistic[:20]:
        skeleton = read(encode(each), personal=False)
        assert isinstance(skeleton, Decision)
        assert not verify(skeleton)
        assert (skeleton.facts, skeleton.context, skeleton.request_id) == ({}, Context(), None)
        assert skeleton.permissions == Permissions()
        assert all(candidate.affinity is None for candidate in skeleton.candidates)
        assert skeleton.slots == each.slots
        assert encode(skeleton).text.count("request-") == 0


# -- over the years ----------------------------------------------------------------------------


def test_events_written_under_schema_1_are_still_read() -> None:
    kept = [Record(**json.loads(line)) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]
    kinds = {"decision", "display", "outcome", "permissions", "switch", "override", "erasure"}
    assert {record.kind for record in kept} == kinds
    found = [read(record, schema=1) for record in kept]
    assert [body for body in found if not isinstance(body, Decision)] == list(PLAIN)
    assert [encode(body) for body in found] == kept  # a later schema rewrites this line, never the file
    *_, full = found
    assert isinstance(full, Decision)
    assert full.facts["held"] == Fact(("pot", "flex"), at(-3), "bank")
    assert (full.slots[-1].product_id, full.context.values, full.redraws) == (NOTHING, (0.1, 1.0), 2)


JUDGED = replace(
    decision("d-2"),
    verdicts=Verdicts(
        ("pot", "ss-isa"),
        ("MKT-1@1", "ADV-2@1", "SAV-4@1"),
        ("No.", "Not in an audience.", "Not enough."),
        np.array([[True, True, False], [True, True, True]]),
        unknown=(2,),
        kinds=("eligible", "eligible", "suitable"),
        stale=((2, "savings_pence"),),
        through=(("ss-isa", "spare-savings@1"),),
    ),
)


def test_ops_6_adv_2_schema_2_keeps_kinds_stale_facts_and_audiences() -> None:
    [line] = GOLDEN.with_name("events_schema_2.jsonl").read_text(encoding="utf-8").splitlines()
    kept = Record(**json.loads(line))
    assert encode(JUDGED) == kept
    found = read(kept, schema=2)
    assert isinstance(found, Decision)
    for name in ("products", "rules", "reasons", "unknown", "kinds", "stale", "through"):
        assert getattr(found.verdicts, name) == getattr(JUDGED.verdicts, name)
    savings = next(v for v in found.verdicts.expanded() if not v.allowed)
    assert (savings.kind, savings.stale, savings.reason) == ("suitable", ("savings_pence",), OUT_OF_DATE)


def test_a_newer_schema_is_refused_in_one_sentence() -> None:
    record = encode(outcome())
    with pytest.raises(Corrupt, match=f"schema {SCHEMA + 1} needs a newer version"):
        decode(record.kind, record.text, token="", schema=SCHEMA + 1, lookup=lambda ref: None)


@pytest.mark.parametrize(
    ("kind", "text"),
    [("outcome", "[]"), ("outcome", "{"), ("decision", "{}"), ("nonsense", "[]"), ("display", '["d","x",[]]')],
)
def test_a_damaged_record_is_corrupt_and_its_content_is_not_told(kind: str, text: str) -> None:
    with pytest.raises(Corrupt, match="cannot be read"):
        decode(kind, text, token="", schema=1, lookup=lambda ref: None)


def test_a_damaged_decision_has_no_exposure() -> None:
    with pytest.raises(Corrupt, match="cannot be read"):
        exposed('{"id": 1}', token="", lookup=lambda ref: None)


def test_keys_tell_bodies_apart() -> None:
    records = [encode(body) for body in (*PLAIN[2:], decision(), FULL)]
    assert len({record.key for record in records}) == len(records)
    assert encode(outcome("o-1")).key == encode(outcome("o-1", kind="opened")).key
    assert encode(outcome("o-1")).digest != encode(outcome("o-1", kind="opened")).digest


@given(times)
@settings(derandomize=True, max_examples=50)
def test_times_are_exact_to_the_microsecond(time: datetime) -> None:
    assert moment(micros(time)) == time
