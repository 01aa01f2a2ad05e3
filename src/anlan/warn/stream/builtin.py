"""The warning models that come with the program (``warn/library/models.yaml``)."""

from __future__ import annotations

from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Any

import msgspec

from anlan.core.errors import InvalidInputError
from anlan.core.time import duration_us
from anlan.warn.features.library import Library
from anlan.warn.model import ModelKind, WarningModel

OWNER = "anlan"
_DURATIONS = ("horizon", "least_lead", "step")


def built_in_models(features: Library) -> tuple[WarningModel, ...]:
    """Return the built-in models, patterns of features replaced by the ids of ``features``.

    A FEATURE model of which the library has no feature at all is left out.

    Raises:
        InvalidInputError: the file has a mistake; names the model and the field.
    """
    import yaml

    text = files("anlan.warn.library").joinpath("models.yaml").read_text(encoding="utf-8")
    models = [_model(row, features) for row in yaml.load(text, Loader=yaml.CSafeLoader)]
    return tuple(model for model in models if model.features or model.kind is not ModelKind.FEATURE)


def _model(row: dict[str, Any], features: Library) -> WarningModel:
    row = dict(row)
    for name in _DURATIONS:
        if name in row:
            row[name] = duration_us(row[name])
    patterns = row.get("features", ())
    row["features"] = [id_ for id_ in features.features if any(fnmatchcase(id_, pattern) for pattern in patterns)]
    try:
        return msgspec.convert(row | {"owner": OWNER}, WarningModel)
    except msgspec.ValidationError as error:
        raise InvalidInputError(
            str(error), where=f"models.yaml: {row.get('id', '?')}", fix="see WarningModel"
        ) from None
