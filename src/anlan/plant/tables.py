"""SQL of the plant: the registry of point numbers."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from anlan.store.records.base import Base


class PointRow(Base):
    """One number of the registry; rows are only ever added."""

    __tablename__ = "points"
    __table_args__ = (UniqueConstraint("path", "kind", "unit", name="uq_points_path"),)

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    path: Mapped[str] = mapped_column(String(400))
    kind: Mapped[str] = mapped_column(String(60))
    unit: Mapped[str] = mapped_column(String(40))
    first_seen: Mapped[int] = mapped_column(BigInteger)
