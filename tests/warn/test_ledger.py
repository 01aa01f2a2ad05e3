"""The ledger: a step is there whole, lists read back, events go out once, models below budget are flagged once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.exc import IntegrityError

from anlan.core.actor import SYSTEM
from anlan.core.events import decode_event
from anlan.core.health import Health
from anlan.core.time import HOUR, now_us
from anlan.settings import Settings
from anlan.store.fabric.client import EVENTS, Fabric
from anlan.store.fabric.log import LogReader
from anlan.store.records.base import Records, open_engine, upgrade
from anlan.warn import budgets
from anlan.warn.ledger import Ledger
from anlan.warn.model import ActOnModel, ActOnWarning, AddModel, Budget, ListMissed, ListWarnings, ModelKind
from anlan.warn.models.key import node_key
from anlan.warn.models.registry import Registry
from anlan.warn.outbox import Outbox
from anlan.warn.warnings.engine import Book
from tests.conftest import FabricProcess
from tests.warn.warnings.plants import (
    BLUE,
    FAR,
    LEVEL,
    RED,
    START,
    A,
    S,
    book,
    finding,
    mint,
    model,
    ring,
    rung,
)


@pytest.fixture
def records(settings: Settings) -> Iterator[Records]:
    sql = open_engine(settings)
    upgrade(sql)
    yield Records(sql)
    sql.dispose()


@pytest.fixture
def ledger(records: Records) -> Ledger:
    return Ledger(records)


def full(ledger: Ledger) -> Book:
    """A red warning that was scored, a blue one that is open, one of a shadow model, and a miss."""
    it = book(model(), model("ghost"), shadow=["ghost"])
    ledger.save(it.findings([finding(0, RED), finding(1, BLUE, path=FAR, contributions=())], mint(1)), {"log": 1})
    ledger.save(it.findings([finding(2, name="ghost")], mint(2)), {"log": 2})
    ledger.save(ring(it, rung(90, name="ALARM1")))
    ledger.save(ring(it, rung(91, "haian/furnace/f-2/flow", name="ALARM2"), "haian/furnace/f-2/flow"))
    first = next(iter(it.kept))
    for n, verb in enumerate(("confirm", "close")):
        ledger.save(it.act(ActOnWarning(first, verb, "done"), "li", START + 100 * S, mint(3 + n)), {"log": 3 + n})
    return it


def test_what_was_kept_is_read_back_and_a_book_goes_on_with_it(ledger: Ledger) -> None:
    it = full(ledger)
    again = Book("test", it.running, it.plant, ledger.living())
    assert again.kept == it.kept
    assert ledger.marks() == {"log": 4}


@pytest.mark.parametrize(
    ("request_", "paths"),
    [
        (ListWarnings(), [FAR]),
        (ListWarnings("closed"), [A]),
        (ListWarnings("shadow"), [A]),
        (ListWarnings("all"), [A, A, FAR]),
        (ListWarnings("all", scope="haian/furnace"), [FAR]),
        (ListWarnings("all", scope="haian/furn"), []),
        (ListWarnings("all", model="ghost"), [A]),
        (ListWarnings("all", start=START + 1, end=START + 2 * S), [FAR]),
    ],
)
def test_lists_are_narrowed_and_gravest_first(ledger: Ledger, request_: ListWarnings, paths: list[str]) -> None:
    full(ledger)
    assert [kept.row.path for kept in ledger.find(request_)] == paths


def test_history_claims_and_misses(ledger: Ledger) -> None:
    it = full(ledger)
    first = next(iter(it.kept))
    assert [step.arrow for step in ledger.steps(first)] == ["raise", "confirm", "close", "score"]
    claims = {(claim.model, claim.outcome, claim.event, claim.lead) for claim in ledger.claims(START, START + S)}
    assert claims == {("seal", "hit", "ALARM1", 90 * S)}
    assert [item.event for item in ledger.missed(ListMissed("haian/furnace"))] == ["ALARM2"]
    assert ledger.missed(ListMissed("haian/tank-farm")) == []
    assert [kept.row.id for kept in ledger.past(START + HOUR)] == [first]


def test_a_step_that_cannot_be_written_whole_is_not_written_at_all(ledger: Ledger) -> None:
    it = book()
    changes = it.findings([finding(0)], mint(1))
    changes.events.append(changes.events[0])
    with pytest.raises(IntegrityError):
        ledger.save(changes, {"log": 9})
    assert ledger.living() == []
    assert ledger.marks() == {}
    assert ledger.waiting_events() == []


async def test_events_that_went_out_before_a_crash_do_not_go_out_again(
    ledger: Ledger, settings: Settings, fabric_process: FabricProcess
) -> None:
    full(ledger)
    waiting = ledger.waiting_events()
    assert len(waiting) > 4
    async with await Fabric.connect(settings, "warn") as fabric:
        await fabric.ensure_streams()
        for event in waiting[:2]:
            await fabric.jetstream.publish(f"events.{event.type}", b"other than ours", timeout=5)
            await fabric.jetstream.publish(f"events.{event.type}", encode(event), timeout=5)
        outbox = Outbox(fabric, ledger, Health("warn"))
        await outbox.resume()
        assert [event.id for event in ledger.waiting_events()] == [event.id for event in waiting[2:]]
        await outbox.flush()
        assert outbox.published == len(waiting) - 2
        assert ledger.waiting_events() == []
        last = int((await fabric.jetstream.stream_info(EVENTS)).state.last_seq)
        assert ledger.marks()["published"] == last
        messages = await anext(LogReader(fabric, start=1, stream=EVENTS).batches(100, wait=2.0))
        ids = [decode_event(m.data).id for m in messages if m.data != b"other than ours"]
    assert ids == [event.id for event in waiting]


def encode(event: object) -> bytes:
    from anlan.core.events import Event, encode_event

    assert isinstance(event, Event)
    return encode_event(event)


def test_a_model_below_its_budget_is_flagged_once_and_cleared_when_it_is_better(
    records: Records, ledger: Ledger, settings: Settings
) -> None:
    registry = Registry(records, "test", node_key(settings.directory("secrets")))
    budget = Budget(precision=0.5, false_a_week=100.0, least=4)
    seal = model(kind=ModelKind.TREND, budget=budget)
    registry.add(AddModel(seal), SYSTEM, 1)
    registry.act(ActOnModel("seal", "live"), SYSTEM, 2)
    now = now_us()
    it = book(seal)

    def live(start: float, hit: bool) -> None:
        at = (now - START) / S - start
        ledger.save(it.findings([finding(at)], mint(round(start))))
        if hit:
            ledger.save(ring(it, rung(at + 100, LEVEL, name=f"ALARM{round(start)}")))
            ledger.save(ring(it, rung(at + 101, LEVEL, arrow="clear", state="normal")))
        ledger.save(it.findings([finding(at + 200, None)], mint(round(start) + 1)))
        ledger.save(it.tick(now - round((start - 8000) * S), mint(round(start) + 2)))
        ledger.save(it.tick(now - round((start - 8001) * S), mint(round(start) + 3)))

    def flagged() -> bool:
        return budgets.judge(ledger, registry, registry.versions(), now)

    for n in range(3):
        live(90_000 - n * 9_000, hit=False)
    assert not flagged()
    live(60_000, hit=True)
    assert flagged()
    assert not flagged()
    assert registry.versions()[0].flagged == now
    live(50_000, hit=True)
    live(40_000, hit=True)
    assert flagged()
    assert registry.versions()[0].flagged == 0
    told = [event.data["change"] for event in ledger.waiting_events(1000) if event.type == "model.change"]
    assert told == ["added", "live", "flagged"]
