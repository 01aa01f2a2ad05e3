"""Warning models that come with the program, as data (``models.yaml``)."""

from __future__ import annotations

from anlan.warn.model import WarningModel


def load_models() -> tuple[WarningModel, ...]:
    """Return the models of this folder."""
    from anlan.warn.models.library import built_in

    return built_in()
