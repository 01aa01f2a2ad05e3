"""Options of a file replay, checked against the file itself before the first row is sent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from anlan.core.errors import InvalidInputError
from anlan.core.time import duration_us, from_iso, now_us
from anlan.perceive.connector import Context
from anlan.perceive.connectors._options import Options
from anlan.perceive.connectors._replay_reader import columns_of
from anlan.plant.model import ConnectorSpec


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column of the file means what; empty names mean there is none."""

    time: str
    quality: str
    point: str
    groups: tuple[str, ...]
    values: tuple[str, ...]
    unmapped: tuple[str, ...]

    @property
    def wanted(self) -> list[str]:
        """All columns that are read."""
        named = (self.time, self.quality, self.point, *self.groups, *self.values)
        return list(dict.fromkeys(name for name in named if name))


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What a replay does; times in µs, ``pause`` in seconds, ``speed`` infinite for max, ``start`` None for as is."""

    path: Path
    speed: float
    zone: ZoneInfo
    start: int | None
    interval: int
    gap: int
    pause: float
    sequence: bool
    separate: bool
    columns: Columns

    @property
    def long(self) -> bool:
        """Whether each row names its point."""
        return bool(self.columns.point)


def read(spec: ConnectorSpec, context: Context) -> ReplayOptions:
    """Return the checked options.

    Raises:
        InvalidInputError: an option does not fit, or the file has no such column.
    """
    options = Options(spec)
    path = _find(options, context)
    zone = options.zone("Asia/Shanghai")
    columns = _columns(options, path, [str(tag) for point, tag in spec.map.items() if point in context.numbers])
    interval = duration_us(options.raw("interval", 0))
    if not columns.time and not interval:
        raise options.wrong("time_column", "the file has no times: neither time_column nor interval is given", "one")
    return ReplayOptions(
        path=path,
        speed=_speed(options),
        zone=zone,
        start=_start(options, zone, needed=not columns.time),
        interval=interval,
        gap=max(1, duration_us(options.raw("group_gap", "1 min"))),
        pause=options.seconds("longest_pause", "10 s"),
        sequence=options.choice("group_times", ("sequence", "keep"), "sequence") == "sequence" and bool(columns.groups),
        separate=options.choice("repeats", ("separate", "keep"), "separate") == "separate",
        columns=columns,
    )


def _find(options: Options, context: Context) -> Path:
    text = options.text("file")
    path = Path(text).expanduser()
    site = getattr(context, "site", None)
    if not path.is_absolute() and site is not None:
        beside = (Path(site) if Path(site).is_dir() else Path(site).parent) / path
        path = beside if beside.exists() else path
    if not path.is_file():
        raise options.wrong("file", f"there is no file {text}", "the path of a CSV or Parquet file")
    return path


def _speed(options: Options) -> float:
    text = options.text("speed", "max")
    try:
        speed = math.inf if text == "max" else float(text)
    except ValueError:
        speed = 0.0
    if not speed > 0:
        raise options.wrong("speed", f"{text!r} is no speed", "a number > 0, or max")
    return speed


def _start(options: Options, zone: ZoneInfo, *, needed: bool) -> int | None:
    text = options.raw("start")
    if text is None:
        if needed:
            raise options.wrong("start", "a file without times needs a start", "a date-time, or now")
        return None
    if text == "now":
        return now_us()
    try:
        return from_iso(str(text), zone.key)
    except InvalidInputError as error:
        raise options.wrong("start", error.message, f"{error.fix}, or now") from error


def _columns(options: Options, path: Path, tags: list[str]) -> Columns:
    """Work out which column means what; every named column must be in the file."""
    present = columns_of(path)
    long = options.choice("layout", ("wide", "long"), "wide") == "long"
    values = [options.text("value_column", "value")] if long else list(dict.fromkeys(tags))
    columns = Columns(
        time=str(options.raw("time_column", "")),
        quality=str(options.raw("quality_column", "")),
        point=options.text("point_column") if long else "",
        groups=tuple(str(name) for name in options.items("group_columns")),
        values=tuple(values),
        unmapped=(),
    )
    named = {
        "time_column": (columns.time,),
        "quality_column": (columns.quality,),
        "point_column": (columns.point,),
        "group_columns": columns.groups,
        "value_column" if long else "map": columns.values,
    }
    for option, names in named.items():
        for name in names:
            if name and name not in present:
                raise options.wrong(option, f"{path.name} has no column {name!r}", f"one of {', '.join(present[:60])}")
    unmapped = () if long else tuple(name for name in present if name not in columns.wanted)
    return Columns(columns.time, columns.quality, columns.point, columns.groups, columns.values, unmapped)
