"""Split HJ 212 messages: a packet whose time stands in another packet waits for that one, within bounds."""

from __future__ import annotations

from dataclasses import dataclass, field

from anlan.perceive.decoders.hj212 import Message

MOST_OPEN = 64


@dataclass(slots=True)
class _Open:
    """One message of which not all packets have come."""

    expires: float
    data_time: str = ""
    seen: set[int] = field(default_factory=set)
    held: list[Message] = field(default_factory=list)


class Packets:
    """Joins packets by (MN, QN, CN).

    Each packet is usable, and answered, on its own as soon as the message's DataTime is known; until then it is held.
    """

    def __init__(self, wait: float) -> None:
        self._wait = wait
        self._open: dict[tuple[str, str, str], _Open] = {}

    def take(self, message: Message, now: float) -> tuple[list[Message], str]:
        """Return the packets that can be used now and their DataTime.

        Args:
            message: a packet; one that is whole comes back at once.
            now: a steady clock, seconds.
        """
        if message.packets <= 1:
            return [message], message.data_time
        key = (message.mn, message.qn, message.cn)
        entry = self._open.setdefault(key, _Open(now + self._wait))
        entry.data_time = entry.data_time or message.data_time
        entry.seen.add(message.packet)
        entry.held.append(message)
        complete = len(entry.seen) >= message.packets
        if complete:
            del self._open[key]
        if not entry.data_time and not complete:
            return [], ""
        ready, entry.held = entry.held, []
        return ready, entry.data_time

    def expired(self, now: float) -> list[Message]:
        """Return held packets whose other packets did not come in time, or for which there is no more room."""
        late: list[Message] = []
        for key, entry in list(self._open.items()):
            if entry.expires <= now or len(self._open) > MOST_OPEN:
                late += entry.held
                del self._open[key]
        return late
