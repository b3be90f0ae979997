"""Array headers that repeat: a motion's file has hundreds of arrays whose headers are the same bytes.

joblib writes every array as a wrapper object, some twenty opcodes that set its state, and the raw data. A header is run once by the
machine and kept, if it does nothing but build its state from literals and from what it names in the memo; where the same bytes
come again, its outcome is taken from here. The state is checked as ever. None of this happens in a file that writes to chosen
places of the memo (PUT): without it the memo only grows, and what a header names there stays what it was.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, Final

import attrs

from grail_framework.motion.pickle_values import Dtype, Global

if TYPE_CHECKING:
    from grail_framework.motion.pickle_literals import Machine

_STATE: Final = object()
_KEPT: Final = 8
"""Headers kept of a file: they differ by the array's shape."""
_FIXED: Final = frozenset((str, int, bool, Dtype, Global))
"""What a header may name: values that nothing in a file can change, or whose change is seen when the state is read."""


def _code(name: str) -> int:
    return getattr(pickle, name)[0]


_SIZES: Final = {
    **{_code(name): 1 for name in ("NEWTRUE", "NEWFALSE", "NONE", "EMPTY_TUPLE")},
    **{_code(name): 2 for name in ("BININT1", "BINGET")},
    _code("BININT2"): 3,
}
"""Bytes of the opcodes that push one value."""
_TUPLES: Final = {_code(f"TUPLE{n}"): n for n in (1, 2, 3)}
_MEMOIZE, _EMPTY_DICT, _MARK, _SETITEMS, _BUILD, _BINGET = map(
    _code, ("MEMOIZE", "EMPTY_DICT", "MARK", "SETITEMS", "BUILD", "BINGET")
)


@attrs.frozen(kw_only=True, eq=False)
class Header:
    """What the bytes behind the making of a wrapper, up to its BUILD, come to."""

    code: bytes
    state: dict[Any, Any]
    memoized: tuple[Any, ...]
    """What it adds to the memo, in this order; `_STATE` in place of the state itself."""


def take_header(machine: Machine, pos: int) -> tuple[dict[Any, Any], int] | None:
    """Return the state a known header at a position comes to, and the position behind its BUILD; None where none is known."""
    memo = machine.memo
    for header in () if machine.has_put else machine.headers:
        if machine.data.startswith(header.code, pos):
            state = dict(header.state)
            for value in header.memoized:
                memo[len(memo)] = state if value is _STATE else value
            return state, pos + len(header.code)
    return None


def keep_header(machine: Machine, start: int, end: int, state: dict[Any, Any], first_memo: int) -> None:
    """Keep a header that was just run, from behind its wrapper to behind its BUILD, if it is one that can be kept."""
    memo, code = machine.memo, bytes(machine.data[start:end])
    if machine.has_put or len(machine.headers) >= _KEPT:
        return
    added = [memo[place] for place in range(first_memo, len(memo))]
    named = _named_places(code, len(added))
    if named is not None and all(place < first_memo and type(memo[place]) in _FIXED for place in named):
        memoized = tuple(_STATE if value is state else value for value in added)
        machine.headers.append(Header(code=code, state=dict(state), memoized=memoized))


def _named_places(code: bytes, num_memoized: int) -> list[int] | None:
    """Return the memo places that a header reads; None where it is no plain sequence of a dictionary, its items and a BUILD."""
    named: list[int] = []
    depth = -1  # values above the dictionary; below 0 the dictionary is not there yet
    marked, memoized, pos = False, 0, 0
    while pos < len(code):
        op = code[pos]
        if op == _MEMOIZE:
            memoized += 1
        elif op == _EMPTY_DICT and depth < 0:
            depth = 0
        elif op == _MARK and depth == 0 and not marked:
            marked = True
        elif op in _SIZES and marked:
            if op == _BINGET:
                named.append(code[pos + 1])
            depth += 1
            pos += _SIZES[op] - 1
        elif op in _TUPLES and marked and depth >= _TUPLES[op]:
            depth += 1 - _TUPLES[op]
        elif op == _SETITEMS and marked and depth and depth % 2 == 0:
            rest = pos + 2 == len(code) and code[pos + 1] == _BUILD
            return named if rest and memoized == num_memoized else None
        else:
            return None
        pos += 1
    return None
