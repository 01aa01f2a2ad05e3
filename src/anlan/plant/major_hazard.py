"""Identification and grading of major hazard installations 重大危险源: GB 18218-2018, figures in ``major_hazard.yaml``.

S = Σ q/Q says whether a unit of the standard is a major hazard installation (S ≥ 1); R = α Σ β q/Q gives its grade.
q is the design quantity, never the live one (4.2.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import IntEnum
from functools import cache, lru_cache
from importlib.resources import files

import msgspec

from anlan.core.errors import InvalidInputError
from anlan.plant.model import Installation, Plant, Stock, Unit

# Exact by definition; the pound of 1959.
_TONNES = {
    "t": 1.0, "吨": 1.0, "tonne": 1.0, "kt": 1e3, "万吨": 1e4, "kg": 1e-3, "千克": 1e-3, "公斤": 1e-3, "g": 1e-6,
    "克": 1e-6, "mg": 1e-9, "lb": 0.45359237e-3,
}  # fmt: skip


class HazardGrade(IntEnum):
    """Grade of a major hazard installation by GB 18218-2018 table 6; 1 (一级) is the gravest."""

    FIRST = 1
    SECOND = 2
    THIRD = 3
    FOURTH = 4


GRADE_ZH = {
    HazardGrade.FIRST: "一级",
    HazardGrade.SECOND: "二级",
    HazardGrade.THIRD: "三级",
    HazardGrade.FOURTH: "四级",
}


class Critical(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the standard says of a substance: critical quantity Q (t) and correction factor β, with clause.

    ``confidence`` is the lower of the two figures'; ``note`` says where the match had to choose.
    """

    zh: str
    en: str
    critical_t: float
    beta: float
    source: str
    confidence: str
    note_zh: str = ""
    note: str = ""


class Holding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One design quantity: q in t and its ratio q/Q; ``critical`` null, with the reason, when it adds nothing.

    ``unresolved``: whether it adds something cannot be said until the site says more.
    """

    path: str
    substance: str
    quantity: float
    unit: str
    tonnes: float | None = None
    ratio: float = 0.0
    critical: Critical | None = None
    reason_zh: str = ""
    reason: str = ""
    unresolved: bool = False


class Grading(msgspec.Struct, frozen=True, omit_defaults=True):
    """A graded installation or unit.

    Attributes:
        s, r: S and R of the standard; ``alpha`` from ``exposed`` persons within 500 m outside the fence.
        grade: null when S < 1: no major hazard installation.
        holdings: what it rests on.
        assumed: exposed persons are not stated and α was assumed.
    """

    s: float
    r: float
    alpha: float
    exposed: int
    grade: HazardGrade | None
    holdings: tuple[Holding, ...] = ()
    assumed: bool = False

    @property
    def left_out(self) -> tuple[Holding, ...]:
        """Holdings that add nothing: no critical quantity, or a quantity that is no mass."""
        return tuple(item for item in self.holdings if item.critical is None or item.tonnes is None)


class _Row(msgspec.Struct, frozen=True, rename={"except_": "except"}):
    zh: str
    en: str
    cas: tuple[str, ...]
    critical_t: float
    beta: float
    beta_basis: str
    beta_confidence: str
    clause: str
    confidence: str
    seq: int
    aliases: tuple[str, ...] = ()
    except_: tuple[str, ...] = ()


class _Category(msgspec.Struct, frozen=True):
    symbol: str
    zh: str
    en: str
    critical_t: float
    beta: float
    clause: str
    confidence: str


class _Toxic(msgspec.Struct, frozen=True):
    zh: str
    cas: str
    beta: float
    confidence: str


class _Alpha(msgspec.Struct, frozen=True):
    persons: int
    alpha: float


class _Grade(msgspec.Struct, frozen=True):
    grade: int
    at_least: float


class _Classified(msgspec.Struct, frozen=True):
    zh: str
    en: str
    cas: tuple[str, ...]
    categories: tuple[str, ...]
    source: str
    confidence: str


class _Outside(msgspec.Struct, frozen=True):
    zh: str
    en: str
    cas: tuple[str, ...]
    reason_zh: str
    reason: str


class _Tables(msgspec.Struct, frozen=True):
    standard: str
    substances: tuple[_Row, ...]
    categories: tuple[_Category, ...]
    toxic_gases: tuple[_Toxic, ...]
    alpha: tuple[_Alpha, ...]
    grades: tuple[_Grade, ...]
    classified: tuple[_Classified, ...]
    outside: tuple[_Outside, ...]


@cache
def tables() -> _Tables:
    """Return the standard's tables as ``major_hazard.yaml`` holds them."""
    import yaml

    text = files("anlan.plant").joinpath("major_hazard.yaml").read_text(encoding="utf-8")
    return msgspec.convert(yaml.load(text, Loader=yaml.CSafeLoader), _Tables)


def category_symbols() -> tuple[str, ...]:
    """Return the symbols of table 2 (J1 … W11), in the standard's order."""
    return tuple(row.symbol for row in tables().categories)


_CONFIDENCES = ("memory_low", "memory_high", "verified")


def _lower(*confidences: str) -> str:
    return min(confidences, key=_CONFIDENCES.index)


def _plain(name: str) -> str:
    return re.sub(r"[\s()()【】\[\],,]+", "", name).lower()


def critical_of(name: str, cas: str = "", categories: Sequence[str] = (), name_en: str = "") -> Critical | None:
    """Return Q and β of a substance; None when neither table 1 nor table 2 reaches it.

    Args:
        name: Chinese or English name, as a site says it.
        cas: CAS number; empty when there is none.
        categories: symbols of table 2 (J1 … W11) that the site states; they go before our own classification.
        name_en: a second name to look up.

    Raises:
        InvalidInputError: a symbol that table 2 does not have.
    """
    return _critical(name, cas, tuple(categories), name_en)


@lru_cache(maxsize=4096)
def _critical(name: str, cas: str, categories: tuple[str, ...], name_en: str) -> Critical | None:
    names = [_plain(item) for item in (name, name_en) if item]
    row = _named(names, cas)
    if row is not None:
        return row
    if categories:
        return _by_category(name, name_en, cas, categories, "站点所列类别", "categories stated by the site", "verified")
    if not any(cas in item.cas and _is(item, names) for item in tables().outside):
        for item in tables().classified:
            if cas in item.cas:
                given = (f"按 {item.source}", f"by {item.source}", item.confidence)
                return _by_category(item.zh, item.en, cas, item.categories, *given)
    return None


def _is(item: _Outside, names: list[str]) -> bool:
    """A CAS number that a row of table 1 also has (盐酸, anhydrous HCl) is told apart by name only."""
    shared = any(set(item.cas) & set(row.cas) for row in tables().substances)
    return not shared or any(_plain(word) in name for word in (item.zh, item.en) for name in names)


def _excepted(row: _Row, names: list[str]) -> bool:
    return any(_plain(word) in name for word in row.except_ for name in names)


def _named(names: list[str], cas: str) -> Critical | None:
    rows = tables().substances
    found = [row for row in rows if {_plain(n) for n in (row.zh, row.en)} & set(names)]
    if not found and cas:
        found = [row for row in rows if cas in row.cas]
    if not found and not cas:
        found = [row for row in rows if {_plain(n) for n in row.aliases} & set(names)]
    found = [row for row in found if not _excepted(row, names)]
    if not found:
        return None
    chosen = min(found, key=lambda row: (row.critical_t, -row.beta))
    several = len({(row.critical_t, row.beta) for row in found}) > 1
    beta = max(row.beta for row in found)
    return Critical(
        chosen.zh,
        chosen.en,
        chosen.critical_t,
        beta,
        f"{tables().standard} {chosen.clause} 序号{chosen.seq}, β {chosen.beta_basis}",
        _lower(chosen.confidence, chosen.beta_confidence),
        f"CAS {cas} 对应表1多行,取最严者" if several else "",
        f"CAS {cas} is in several rows of table 1; the strictest was taken" if several else "",
    )


def _by_category(zh: str, en: str, cas: str, symbols: Sequence[str], note_zh: str, note: str, known: str) -> Critical:
    by_symbol = {row.symbol: row for row in tables().categories}
    unknown = [symbol for symbol in symbols if symbol not in by_symbol]
    if unknown:
        raise InvalidInputError(
            f"GB 18218 table 2 has no category {unknown[0]!r}", fix=f"one of {', '.join(by_symbol)}"
        )
    rows = [by_symbol[symbol] for symbol in symbols]
    toxic = next((row for row in tables().toxic_gases if cas and row.cas == cas), None)
    # Table 3 before table 4; with several categories the highest β (rule `highest-beta` of the data file).
    beta = toxic.beta if toxic else max(row.beta for row in rows)
    lowest = min(rows, key=lambda row: row.critical_t)
    basis = "表3" if toxic else f"表4 {max(rows, key=lambda row: row.beta).symbol}"
    confidence = _lower(known, *(row.confidence for row in rows))
    source = f"{tables().standard} 表2 {lowest.symbol}, β {basis}"
    return Critical(zh or en, en or zh, lowest.critical_t, beta, source, confidence, note_zh, note)


def why_outside(name: str, cas: str, name_en: str = "") -> tuple[str, str, bool]:
    """Return in both languages why a substance has no critical quantity, and whether the site must say more."""
    names = [_plain(item) for item in (name, name_en) if item]
    for item in tables().outside:
        if cas in item.cas and _is(item, names):
            return item.reason_zh, item.reason, False
    return (
        "表1未列名,也未给出表2类别;若属危险化学品,请在站点文件的 substances 中写 categories",
        "not named in table 1 and no category of table 2 is stated; if it is a hazardous chemical, give `categories` "
        "under substances in the site file",
        True,
    )


def tonnes(quantity: float, unit: str) -> float:
    """Return a mass in t.

    Args:
        quantity: how much.
        unit: t, kg, g, mg, kt, lb or 吨, 千克, 公斤, 克, 万吨.

    Raises:
        InvalidInputError: a unit that is no mass (a volume needs the density at storage), or a negative quantity.
    """
    factor = _TONNES.get(unit.strip()) or _TONNES.get(unit.strip().lower())
    if factor is None:
        raise InvalidInputError(f"{unit!r} is no unit of mass", fix="give the design quantity in t, kg, g or lb")
    if not quantity >= 0:
        raise InvalidInputError(f"a quantity of {quantity:g} {unit}", fix="a number of at least 0")
    return quantity * factor


def alpha_of(exposed: int) -> float:
    """Return α by table 5 for ``exposed`` persons within 500 m outside the fence.

    Raises:
        InvalidInputError: a negative number of persons.
    """
    if exposed < 0:
        raise InvalidInputError(f"{exposed} exposed persons", fix="a number of at least 0")
    return max((row for row in tables().alpha if exposed >= row.persons), key=lambda row: row.persons).alpha


def grade_of(r: float) -> HazardGrade:
    """Return the grade by table 6 of R."""
    row = max((row for row in tables().grades if r >= row.at_least), key=lambda row: row.at_least)
    return HazardGrade(row.grade)


def grading(holdings: Iterable[Holding], exposed: int, *, assumed_alpha: float | None = None) -> Grading:
    """Return S, R and grade of holdings that lie inside one boundary.

    Args:
        holdings: from ``holding``.
        exposed: persons within 500 m outside the fence.
        assumed_alpha: α taken where nobody has stated ``exposed``; the result says so.
    """
    items = tuple(holdings)
    alpha = alpha_of(exposed) if assumed_alpha is None else assumed_alpha
    s = sum(item.ratio for item in items)
    r = alpha * sum(item.critical.beta * item.ratio for item in items if item.critical)
    grade = grade_of(r) if s >= 1 else None
    return Grading(s, r, alpha, exposed, grade, items, assumed_alpha is not None)


def holding(
    path: str,
    substance: str,
    quantity: float,
    unit: str,
    cas: str = "",
    categories: Sequence[str] = (),
    name_en: str = "",
) -> Holding:
    """Return one design quantity with its Q, β and ratio, or with the reason why it adds nothing."""
    critical = critical_of(substance, cas, categories, name_en)
    try:
        mass: float | None = tonnes(quantity, unit)
    except InvalidInputError as error:
        zh = f"{quantity:g} {unit} 不是质量,无法与临界量相比;请给出以吨计的设计最大量"
        return Holding(path, substance, quantity, unit, None, 0.0, critical, zh, str(error), True)
    if critical is None:
        zh, en, unresolved = why_outside(substance, cas, name_en)
        return Holding(path, substance, quantity, unit, mass, 0.0, None, zh, en, unresolved)
    assert mass is not None
    return Holding(path, substance, quantity, unit, mass, mass / critical.critical_t, critical)


class Quantities:
    """The design quantities of a plant's units, read once."""

    def __init__(self, plant: Plant) -> None:
        self._known = {item.id: item for item in plant.substances}
        self._units = {unit.path: unit for unit in plant.units}
        self._stock: dict[str, list[Stock]] = {}
        for item in plant.stock:
            self._stock.setdefault(item.path, []).append(item)
        self._exposed: dict[str, int] = {}
        for installation in plant.installations:
            enterprise = installation.path.partition("/")[0]
            self._exposed[enterprise] = max(installation.exposed, self._exposed.get(enterprise, 0))

    def holdings(self, unit: Unit) -> tuple[Holding, ...]:
        """Return the design quantities of a unit: its stock, else its inventory."""
        kept = [(item.substance, item.quantity, item.unit, item.cas) for item in self._stock.get(unit.path, ())]
        if not kept and unit.substance and unit.inventory is not None:
            kept = [(unit.substance, unit.inventory, unit.inventory_unit, "")]
        found = []
        for substance, quantity, measure, cas in kept:
            item = self._known.get(substance)
            if item is None:
                found.append(holding(unit.path, substance, quantity, measure, cas))
            else:
                name, number = item.name or item.id, cas or item.cas
                found.append(holding(unit.path, name, quantity, measure, number, item.categories, item.name_en))
        return tuple(found)

    def of_installation(self, installation: Installation) -> Grading:
        """Return the grading of an installation; a unit named twice counts once."""
        units = [self._units[path] for path in dict.fromkeys(installation.units) if path in self._units]
        return grading([held for unit in units for held in self.holdings(unit)], installation.exposed)

    def of_unit(self, unit: Unit) -> Grading:
        """Return the grading of one unit by itself.

        Exposed persons are those of the enterprise's installations (they count from the fence); where it names none,
        α is assumed 1, the value for 1 to 29 persons, and the result says so.
        """
        exposed = self._exposed.get(unit.path.partition("/")[0])
        if exposed is None:
            return grading(self.holdings(unit), 0, assumed_alpha=1.0)
        return grading(self.holdings(unit), exposed)


def grade_installation(plant: Plant, installation: Installation) -> Grading:
    """Return the grading of an installation that the site names."""
    return Quantities(plant).of_installation(installation)


def grade_unit(plant: Plant, unit: Unit) -> Grading:
    """Return the grading of one unit by itself; see ``Quantities.of_unit``."""
    return Quantities(plant).of_unit(unit)


def installations_of(plant: Plant, quantities: Quantities | None = None) -> dict[str, tuple[Installation, Grading]]:
    """Return the gravest installation of every unit that belongs to one, with its grading, by unit path."""
    read = quantities or Quantities(plant)
    found: dict[str, tuple[Installation, Grading]] = {}
    for item in plant.installations:
        graded = read.of_installation(item)
        for path in item.units:
            if path not in found or graded.r > found[path][1].r:
                found[path] = (item, graded)
    return found
