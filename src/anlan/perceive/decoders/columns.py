"""What every decoder takes and gives: packs of bytes in, columns out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from anlan.core.batch import SampleBatch
from anlan.core.errors import DecodeError


class Pack(NamedTuple):
    """One device message.

    Attributes:
        route: what the decoder made of the topic.
        payload: its bytes.
        received: µs UTC.
        repeated: the device said that it may have sent it before.
    """

    route: Any
    payload: bytes
    received: int
    repeated: bool = False


class Text(NamedTuple):
    """A text a device sent for a point: an event, not a sample. ``time`` in µs UTC."""

    point: int
    time: int
    text: str


@dataclass(slots=True)
class Decoded:
    """Columns of many packs, and what else was in them.

    Attributes:
        batch: raw values of mapped points, in the order of the packs.
        problems: index of each pack that cannot be used, with what is wrong.
        texts: texts of mapped points.
        unmapped: samples by tag that no point is mapped to.
        answers: (topic, payload) to send to devices, such as a request for rebirth.
    """

    batch: SampleBatch = field(default_factory=SampleBatch.empty)
    problems: list[tuple[int, DecodeError]] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    unmapped: dict[str, int] = field(default_factory=dict)
    answers: list[tuple[str, bytes]] = field(default_factory=list)

    def count_unmapped(self, tag: str, count: int = 1) -> None:
        """Count ``count`` samples of ``tag``."""
        self.unmapped[tag] = self.unmapped.get(tag, 0) + count


class Decoder(Protocol):
    """Decodes one payload format of one connector."""

    def route(self, topic: str) -> Any | None:
        """Return what ``decode`` needs to know of a topic; None when nothing can ever be decoded from it.

        Raises:
            DecodeError: the topic does not have this format's form.
        """
        ...

    def decode(self, packs: list[Pack]) -> Decoded:
        """Return the columns of all packs; a broken pack is a problem of its own and spoils no other."""
        ...


def batch_of(point: list[int], time: list[int], value: list[float], quality: list[int]) -> SampleBatch:
    """Return a batch of Python numbers; times outside 64 bits are held at its ends."""
    try:
        times = np.array(time, np.int64)
    except OverflowError:
        times = np.array([min(max(moment, -(1 << 63)), (1 << 63) - 1) for moment in time], np.int64)
    return SampleBatch(np.array(point, np.int32), times, np.array(value, np.float64), np.array(quality, np.uint8))
