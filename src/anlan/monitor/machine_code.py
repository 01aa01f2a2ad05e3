"""How the alarm kernel is compiled: one machine version a function, cached on disk, without the interpreter lock."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NewType, TypeVar, cast, get_type_hints

import numba
import numpy as np
from numpy.typing import NDArray

from anlan.monitor.compiled import compile_plant
from anlan.monitor.layout import OUT, State, Tables, fresh_state
from anlan.plant.model import Plant, SiteInfo

Out = NewType("Out", np.ndarray)

_F = TypeVar("_F", bound=Callable[..., Any])


_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


@cache
def _machine_type(hint: Any) -> Any:
    """Return what the compiler calls an annotation of this file; arrays outside the two tuples are read-only."""
    known = {
        int: numba.int64,
        float: numba.float64,
        bool: numba.boolean,
        type(None): numba.void,
        tuple[int, float]: numba.types.Tuple((numba.int64, numba.float64)),
        Tables: numba.typeof(compile_plant(Plant(SiteInfo("", "")), "").tables),
        State: numba.typeof(fresh_state(1, 1)),
        Out: numba.typeof(np.empty(1, OUT)),
        NDArray[np.int32]: numba.types.Array(numba.int32, 1, "C", readonly=True),
        NDArray[np.int64]: numba.types.Array(numba.int64, 1, "C", readonly=True),
        NDArray[np.float64]: numba.types.Array(numba.float64, 1, "C", readonly=True),
        NDArray[np.uint8]: numba.types.Array(numba.uint8, 1, "C", readonly=True),
    }
    return known[hint]


def _signature(function: Callable[..., Any]) -> Any:
    # One machine type a parameter: left to itself the compiler makes a version for each constant it is called with.
    hints = get_type_hints(function)
    result = _machine_type(hints.pop("return"))
    return result(*(_machine_type(hint) for hint in hints.values()))


def _pinned(function: _F, **options: Any) -> _F:
    dispatcher = numba.njit(**_OPTIONS, **options)(function)
    compile_any = dispatcher.compile
    # A signature given to the decorator would do the same but compile or load every function at import.
    dispatcher.compile = lambda _: compile_any(_signature(function))
    return cast(_F, dispatcher)


def compiled(function: _F) -> _F:
    """Compile ``function`` for the types of its annotations, at its first call; it must allocate nothing."""
    # Nothing is allocated here, so nothing need be counted: a call would count every array of the two tuples.
    return _pinned(function, _nrt=False)


def inlined(function: _F) -> _F:
    """Like ``compiled``, for functions on the way of every sample: callers take their code in."""
    # A call hands over every word of every array; on the way of each sample that costs more than the work itself.
    return _pinned(function, _nrt=False, forceinline=True)


def allocating(function: _F) -> _F:
    """Compile a function that may allocate, for the types it is called with."""
    return cast(_F, numba.njit(**_OPTIONS)(function))
