"""OPC UA client: subscriptions with source times and status codes, restored after a cut; history fills the gap.

OPC 10000-4 Services. Only browse, read, history read and subscriptions are used; nothing is written.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from asyncua import ua
from asyncua.common.subscription import Subscription

from anlan.core.errors import DecodeError
from anlan.core.events import EventType
from anlan.core.quality import Quality
from anlan.core.time import now_us
from anlan.perceive.connector import Arrival, Context, Grade, Manifest, Option, keep_connected
from anlan.perceive.connectors import _opcua_alarms
from anlan.perceive.connectors._gather import Gather
from anlan.perceive.connectors._opcua_session import MODES, POLICIES, open_client, read_security
from anlan.perceive.connectors._opcua_values import number_of, parse_tag, quality_of, time_of
from anlan.perceive.connectors._options import Options
from anlan.plant.model import ConnectorSpec

logger = logging.getLogger(__name__)
# The library logs every try of a lost connection; the gateway says once that it is lost and once that it is back.
logging.getLogger("asyncua").setLevel(logging.CRITICAL)

MANIFEST = Manifest(
    kind="opcua",
    name="OPC UA client",
    name_zh="OPC UA 客户端",
    arrival=Arrival.PUSH,
    grade=Grade.SILVER,
    options=(
        Option("endpoint", "text", "opc.tcp://HOST:PORT.", required=True),
        Option("security_policy", "text", "Security policy.", default="None", choices=POLICIES),
        Option("mode", "text", "Message security.", default="SignAndEncrypt", choices=MODES),
        Option("certificate", "text", "File of this client's certificate (PEM or DER)."),
        Option("private_key", "text", "File of its private key."),
        Option("server_certificate", "list", "Files of the server certificates that are trusted."),
        Option("trust_any", "boolean", "Trust any server certificate (commissioning only).", default=False),
        Option("user", "text", "User name."),
        Option("password", "text", "Secret that holds the password.", secret=True),
        Option("timeout", "duration", "Longest wait for an answer.", default="4 s"),
        Option("publishing_interval", "duration", "Time between notifications.", default="500 ms"),
        Option("sampling_interval", "duration", "Time between the server's samples; unset is the publishing interval."),
        Option("queue_size", "integer", "Values the server keeps for a node between notifications.", default=100),
        Option("chunk", "integer", "Nodes per request.", default=500),
        Option("refresh", "duration", "A node that said nothing for so long is read; 0 never.", default="30 s"),
        Option("history", "boolean", "Read history to fill the gap of an outage.", default=True),
        Option("longest_history", "duration", "Furthest back a gap is filled.", default="24 h"),
        Option("alarms", "boolean", "Take in the server's own alarms as events.", default=False),
    ),
    tag=(
        Option("node", "text", "Node id, such as ns=2;s=PT401.", required=True),
        Option("index", "integer", "Element of an array."),
    ),
    gaps=(
        "No method is called but ConditionRefresh; structures are not read; certificates are compared with files, not "
        "checked against authorities and revocation lists. A gap is filled only from the server's history, and only "
        "while this gateway ran: what was missed while it was stopped itself is not read."
    ),
    limits=(
        "64-bit integers beyond 2^53 lose their last digits; a text becomes an event, not a sample. The clock offset "
        "is as exact as the server's CurrentTime, which some servers step once a second."
    ),
)

_KEEP_ALIVE_S = 5.0
_WATCH_S = 1.0
_RETRY_S = 60.0
_HISTORY_AT_ONCE = 4
_NO_HISTORY = (
    ua.StatusCodes.BadHistoryOperationUnsupported, ua.StatusCodes.BadHistoryOperationInvalid,
    ua.StatusCodes.BadServiceUnsupported, ua.StatusCodes.BadUserAccessDenied, ua.StatusCodes.BadNotReadable,
    ua.StatusCodes.BadNotSupported, ua.StatusCodes.BadNodeIdUnknown,
)  # fmt: skip


class _Feed(Subscription):  # type: ignore[misc]  # asyncua is not followed by the checker
    """A subscription whose notifications are taken as whole lists; the library would start a task for each value."""

    def __init__(self, server: Any, parameters: Any, take: Callable[[Any], None], context: Context) -> None:
        super().__init__(server, parameters)
        self._take_notification = take
        self._context = context

    async def publish_callback(self, publish_result: Any) -> None:
        """Take one notification message; not returning holds the next one back at the server."""
        self.last_publish_at = time.monotonic()
        for notification in publish_result.NotificationMessage.NotificationData or ():
            self._take_notification(notification)
        await self._context.writable()


class OpcUaConnector:
    """Keeps one OPC UA server's values coming."""

    MANIFEST = MANIFEST

    def __init__(self, spec: ConnectorSpec, context: Context) -> None:
        options = Options(spec)
        self._context = context
        self._security = read_security(options, context)
        self._publishing = options.seconds("publishing_interval", "500 ms")
        self._sampling = options.seconds("sampling_interval", "0 s") * 1_000 or -1.0
        self._queue = options.integer("queue_size", 100, 1, 100_000)
        self._chunk = options.integer("chunk", 500, 1, 10_000)
        self._refresh = options.seconds("refresh", "30 s")
        self._history = options.boolean("history", True)
        self._longest = options.seconds("longest_history", "24 h") * 1e6
        self._alarms = options.boolean("alarms", False)
        self._targets = [
            parse_tag(tag, context.numbers[path], f"connectors/{spec.id}/map/{path}")
            for path, tag in spec.map.items()
            if path in context.numbers
        ]
        self._newest = [0] * len(self._targets)
        self._heard = [0.0] * len(self._targets)
        self._gather = Gather()
        self._held = False
        self._since = 0.0
        self._ended = ""
        self._without_history: set[int] = set()

    async def run(self) -> None:
        """Stay connected for ever; a lost server is said once, then tried again with back-off."""
        await keep_connected(self._context, self._session)

    async def _session(self) -> None:
        client = await open_client(self._security, self._context.spec.id)
        async with asyncio.timeout(self._security.timeout * 3):
            await client.connect()
        try:
            offset = await self._clock_offset(client)
            self._context.up(clock_offset_us=offset)
            await self._serve(client, offset)
        finally:
            self._held = False
            self._flush()
            with contextlib.suppress(Exception):  # the server may be gone; there is nothing left to say to it
                async with asyncio.timeout(2):
                    await client.disconnect()

    async def _serve(self, client: Any, offset: int) -> None:
        self._ended = ""
        self._since = time.monotonic()
        # Live values wait until the gap before them is filled, so that each point's samples come in order.
        self._held = self._history and any(self._newest)
        before = list(self._newest)
        feeds: list[tuple[_Feed, float]] = []
        if self._alarms:
            feeds.append(await self._create_feed(client))
            await self._subscribe_alarms(client, feeds[-1][0])
        waiting = list(range(len(self._targets)))
        for start in range(0, len(waiting), self._chunk):
            feeds.append(await self._create_feed(client))
            await self._subscribe(feeds[-1][0], waiting[start : start + self._chunk])
        if self._held:
            await self._fill_gap(client, before)
            self._held = False
        self._flush()
        await self._watch(client, feeds, offset)

    # --- subscriptions ------------------------------------------------------------------------------------------

    async def _create_feed(self, client: Any) -> tuple[_Feed, float]:
        """Return a new subscription and the seconds after which its silence means that it is dead."""
        parameters = ua.CreateSubscriptionParameters()
        parameters.RequestedPublishingInterval = self._publishing * 1_000
        parameters.RequestedMaxKeepAliveCount = max(3, math.ceil(_KEEP_ALIVE_S / max(self._publishing, 0.01)))
        parameters.RequestedLifetimeCount = parameters.RequestedMaxKeepAliveCount * 10
        parameters.MaxNotificationsPerPublish = 10_000
        parameters.PublishingEnabled = True
        feed = _Feed(client.uaclient.session, parameters, self._take, self._context)
        revised = await feed.init()
        feed.last_publish_at = time.monotonic()
        silence = revised.RevisedPublishingInterval / 1_000 * max(1, revised.RevisedMaxKeepAliveCount)
        return feed, silence * 1.5 + self._security.timeout

    async def _subscribe(self, feed: _Feed, indices: list[int]) -> None:
        """Monitor some targets; a node that the server refuses spoils only its own point."""
        with_time = ua.DataChangeFilter(Trigger=ua.DataChangeTrigger.StatusValueTimestamp)
        results = await feed.create_monitored_items([self._request(index, with_time) for index in indices])
        plain = [
            index
            for index, result in zip(indices, results, strict=True)
            if isinstance(result, ua.StatusCode)
            and result.value in (ua.StatusCodes.BadFilterNotAllowed, ua.StatusCodes.BadMonitoredItemFilterUnsupported)
        ]
        if plain:
            again = await feed.create_monitored_items([self._request(index, None) for index in plain])
            retried = dict(zip(plain, again, strict=True))
            results = [retried.get(index, result) for index, result in zip(indices, results, strict=True)]
        for index, result in zip(indices, results, strict=True):
            if isinstance(result, ua.StatusCode):
                self._refuse(index, result)

    def _request(self, index: int, chosen: Any) -> Any:
        request = ua.MonitoredItemCreateRequest()
        request.ItemToMonitor.NodeId = self._targets[index].node
        request.ItemToMonitor.AttributeId = ua.AttributeIds.Value
        request.MonitoringMode = ua.MonitoringMode.Reporting
        request.RequestedParameters = ua.MonitoringParameters(
            ClientHandle=index,
            SamplingInterval=self._sampling,
            Filter=chosen,
            QueueSize=self._queue,
            DiscardOldest=True,
        )
        return request

    def _refuse(self, index: int, status: Any) -> None:
        target = self._targets[index]
        reason = DecodeError(f"the server refuses {target.text}: {status.name}", where=target.text, fix=status.doc)
        self._context.dead_letter(target.text.encode(), reason, source=self._security.endpoint)
        self._add(index, now_us(), math.nan, quality_of(status.value))

    async def _subscribe_alarms(self, client: Any, feed: _Feed) -> None:
        request = ua.MonitoredItemCreateRequest()
        request.ItemToMonitor.NodeId = ua.NodeId(ua.ObjectIds.Server)
        request.ItemToMonitor.AttributeId = ua.AttributeIds.EventNotifier
        request.MonitoringMode = ua.MonitoringMode.Reporting
        request.RequestedParameters = ua.MonitoringParameters(
            ClientHandle=len(self._targets), Filter=_opcua_alarms.event_filter(), QueueSize=10_000, DiscardOldest=True
        )
        [result] = await feed.create_monitored_items([request])
        if isinstance(result, ua.StatusCode):
            reason = DecodeError(f"the server gives no events: {result.name}", where="Server", fix="alarms: false")
            self._context.dead_letter(b"i=2253", reason, source=self._security.endpoint)
            return
        with contextlib.suppress(ua.UaError):  # a server without conditions has nothing to refresh
            await client.get_node(ua.ObjectIds.ConditionType).call_method(
                ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh),
                ua.Variant(feed.subscription_id, ua.VariantType.UInt32),
            )

    # --- values -------------------------------------------------------------------------------------------------

    def _take(self, notification: Any) -> None:
        received = now_us()
        if isinstance(notification, ua.DataChangeNotification):
            for item in notification.MonitoredItems:
                if item.ClientHandle < len(self._targets):
                    self._take_value(item.ClientHandle, item.Value, received)
            self._flush()
        elif isinstance(notification, ua.EventNotificationList):
            for event in notification.Events:
                type_, source, moment, data, key = _opcua_alarms.read_event(event.EventFields, received)
                self._context.event(type_, f"{self._context.spec.id}/{source}", moment, data, key=key)
        elif isinstance(notification, ua.StatusChangeNotification):
            self._ended = notification.Status.name

    def _take_value(self, index: int, value: Any, received: int, *, fresh: bool = False) -> None:
        """Add one data value; ``fresh`` means read on purpose, so an unchanged value counts as of the server's now."""
        target = self._targets[index]
        moment = time_of(value, received)
        if fresh and moment <= self._newest[index]:
            moment = max(received, self._newest[index] + 1)
        status = value.StatusCode.value if value.StatusCode is not None else 0
        quality = quality_of(status)
        try:
            number = number_of(value, target)
        except DecodeError as error:
            text = value.Value.Value
            if isinstance(text, str):
                subject = f"{self._context.spec.id}/{target.text}"
                data = {"text": text, "quality": quality}
                self._context.event(EventType.DEVICE_TEXT, subject, moment, data, key=f"{target.text}/{moment}")
                return
            self._context.dead_letter(repr(text)[:4096].encode(), error, source=target.text)
            number, quality = None, int(Quality.BAD_CONFIGURATION)
        if number is None and quality < 0x80:
            quality = int(Quality.BAD_NOT_A_NUMBER)
        number = math.nan if number is None else number
        first = self._heard[index] < self._since
        self._add(index, moment, number, quality)
        if first and self._refresh and received - moment > self._refresh * 1e6:
            # The first report of a session says what holds now, however long ago it last changed: an alarm that
            # stands must not be taken for an old one.
            self._add(index, received, number, quality)

    def _add(self, index: int, moment: int, value: float, quality: int) -> None:
        self._gather.add(self._targets[index].number, moment, value, quality)
        self._newest[index] = max(self._newest[index], moment)
        self._heard[index] = time.monotonic()

    def _flush(self) -> None:
        if not self._held:
            self._gather.emit(self._context)

    # --- history ------------------------------------------------------------------------------------------------

    async def _fill_gap(self, client: Any, before: list[int]) -> None:
        """Read what happened between the newest value of each node and the restored subscription."""
        slots = asyncio.Semaphore(_HISTORY_AT_ONCE)
        now = now_us()

        async def fill(index: int) -> Gather:
            found = Gather()
            async with slots:
                values = await self._read_history(client, index, max(before[index] + 1, int(now - self._longest)))
            for value in values:
                moment = time_of(value, 0)
                status = value.StatusCode.value if value.StatusCode is not None else 0
                with contextlib.suppress(DecodeError):
                    number = number_of(value, self._targets[index])
                    if moment > before[index]:
                        # A gap that the history itself reports has no value: the point was not known then.
                        found.add(
                            self._targets[index].number,
                            moment,
                            math.nan if number is None else number,
                            quality_of(status),
                        )
            return found

        wanted = [index for index, newest in enumerate(before) if newest and index not in self._without_history]
        for start in range(0, len(wanted), self._chunk):
            for found in await asyncio.gather(*(fill(index) for index in wanted[start : start + self._chunk])):
                found.emit(self._context)
            await self._context.writable()

    async def _read_history(self, client: Any, index: int, start: int) -> list[Any]:
        node = client.get_node(self._targets[index].node)
        begin = datetime.fromtimestamp(start / 1e6, UTC)
        try:
            values: list[Any] = await node.read_raw_history(begin, datetime.now(UTC), return_bounds=False)
        except ua.UaStatusCodeError as error:
            if error.code in _NO_HISTORY:
                self._without_history.add(index)
            else:
                logger.debug("%s: history of %s: %s", self._context.spec.id, self._targets[index].text, error)
            return []
        return values

    # --- watching -----------------------------------------------------------------------------------------------

    async def _clock_offset(self, client: Any) -> int:
        """Return the server's clock minus ours, µs; half of the round trip is taken off."""
        asked = now_us()
        async with asyncio.timeout(self._security.timeout):
            value = await client.get_node(ua.ObjectIds.Server_ServerStatus_CurrentTime).read_data_value(False)
        answered = now_us()
        told = value.Value.Value if value.Value is not None else None
        # Some servers step CurrentTime once a second; the time they put beside it is nearer.
        clocks = [moment for moment in (told, value.ServerTimestamp) if isinstance(moment, datetime)]
        times = [time_of(ua.DataValue(SourceTimestamp=moment), 0) for moment in clocks]
        return max(times, default=answered) - (asked + answered) // 2

    async def _watch(self, client: Any, feeds: list[tuple[_Feed, float]], offset: int) -> None:
        """Return or raise when the server or a subscription is dead; read silent nodes, retry refused ones."""
        retry_at = time.monotonic() + _RETRY_S
        while True:
            await asyncio.sleep(_WATCH_S)
            if self._ended:
                raise ConnectionError(f"the server ended the subscription: {self._ended}")
            now = time.monotonic()
            for feed, silence in feeds:
                if now - (feed.last_publish_at or now) > silence:
                    raise TimeoutError(f"a subscription has been silent for {silence:.0f} s")
            offset = await self._clock_offset(client)
            self._context.up(clock_offset_us=offset)
            if self._refresh:
                await self._read_silent(client, now - self._refresh)
            if now >= retry_at and feeds:
                retry_at = now + _RETRY_S
                monitored = {handle for feed, _ in feeds for handle in feed._monitored_items}
                refused = [index for index in range(len(self._targets)) if index not in monitored]
                for start in range(0, len(refused), self._chunk):
                    await self._subscribe(feeds[-1][0], refused[start : start + self._chunk])
                self._flush()

    async def _read_silent(self, client: Any, before: float) -> None:
        """Read nodes that have said nothing for long: an unchanged value is not reported, and must not look stale."""
        silent = [index for index, heard in enumerate(self._heard) if heard <= before]
        for start in range(0, len(silent), self._chunk):
            part = silent[start : start + self._chunk]
            nodes = [client.get_node(self._targets[index].node) for index in part]
            async with asyncio.timeout(self._security.timeout):
                values = await client.read_attributes(nodes, ua.AttributeIds.Value)
            received = now_us()
            for index, value in zip(part, values, strict=True):
                self._take_value(index, value, received, fresh=True)
            self._flush()
