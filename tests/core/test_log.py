"""Records of the log survive the log."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anlan.core import log
from anlan.core.actor import Actor, Grant, Role

TIMES = st.integers(0, 1 << 53)
TEXTS = st.text(max_size=20)
ACTORS = st.builds(
    Actor,
    user=TEXTS,
    name=TEXTS,
    grants=st.lists(st.builds(Grant, role=st.sampled_from(Role), scope=TEXTS), max_size=2).map(tuple),
)
RECORDS = st.one_of(
    st.tuples(st.just(log.TICK), st.builds(log.Tick, time=TIMES)),
    st.tuples(
        st.just(log.COMMAND),
        st.builds(
            log.Command, id=TEXTS, time=TIMES, verb=TEXTS, alarm=TEXTS, actor=ACTORS, instance=TEXTS, comment=TEXTS
        ),
    ),
    st.tuples(st.just(log.CONFIG), st.builds(log.ConfigRecord, time=TIMES, revision=TEXTS)),
    st.tuples(
        st.just(log.CONNECTOR),
        st.builds(log.ConnectorRecord, time=TIMES, connector=TEXTS, up=st.booleans(), reason=TEXTS),
    ),
)


@given(RECORDS)
def test_a_record_survives_the_log(record: tuple[str, msgspec.Struct]) -> None:
    subject, value = record
    assert log.decode(subject, log.encode(value)) == value


@pytest.mark.parametrize("subject", [log.TICK, log.COMMAND, log.CONFIG, log.CONNECTOR])
@pytest.mark.parametrize("message", [b"", b"{}", b"null", b'{"time": "now"}'])
def test_anything_else_is_refused(subject: str, message: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        log.decode(subject, message)
