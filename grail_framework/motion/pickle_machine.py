"""A machine for the opcodes of pickles that build plain values, over a file's content in memory.

It is written here, and small, for two reasons: the standard library's machine calls what a file names, and its compiled one cannot
read the raw arrays that joblib writes between opcodes. An opcode that is not in the table below is refused.

Format: the `pickletools` module (protocols 0-5).
"""

from __future__ import annotations

import pickle
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np

from grail_framework.motion.pickle_literals import LITERALS, Machine, made
from grail_framework.motion.pickle_repeats import keep_header, take_header
from grail_framework.motion.pickle_values import (
    GLOBALS,
    JOBLIB_ARRAY,
    Dtype,
    Global,
    JoblibArray,
    RefusedError,
    set_array_state,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_MAX_STEPS: Final = 200_000_000
"""Opcodes of one file: an opcode of a byte makes a value of a hundred."""
_WRAPPER: Final = JoblibArray()
_KEY_TYPES: Final = frozenset((str, int, float, bool, bytes, type(None)))
"""What may be a key: hashing a tuple of tuples of tuples can take forever."""


def run(data: bytearray) -> object:
    """Run the program of a file to its STOP and return the value it leaves.

    Raises:
        RefusedError: it asks for what is not allowed.
        Exception: of any other kind where the program is damaged.
    """
    return execute(Machine(data), _HANDLERS)


def execute(machine: Machine, handlers: Sequence[Callable[[Any, int], int]]) -> object:
    """Run a machine's program with handlers of its own (`handlers_of`), else as `run` does."""
    data, stack, marks, memo = machine.data, machine.stack, machine.marks, machine.memo
    push = stack.append
    pos = 0
    for _ in repeat(None, _MAX_STEPS):
        code = data[pos]
        # The commonest opcodes of motion files, two thirds of all, save a call each.
        if code == _BINGET:
            push(memo[data[pos + 1]])
            pos += 2
        elif code == _BININT1:
            push(data[pos + 1])
            pos += 2
        elif code == _MEMOIZE:
            memo[len(memo)] = stack[-1]
            pos += 1
        elif code == _MARK:
            marks.append(len(stack))
            pos += 1
        elif code == _STOP:
            if pos + 1 != len(data):
                raise RefusedError(f"{len(data) - pos - 1} bytes follow the end of its pickle")
            return stack.pop()
        else:
            pos = handlers[code](machine, pos + 1)
    raise ValueError(f"more than {_MAX_STEPS} items; split the file into one per motion")


def _tuple1(machine: Machine, pos: int) -> int:
    machine.stack[-1] = (machine.stack[-1],)
    return pos


def _tuple2(machine: Machine, pos: int) -> int:
    stack = machine.stack
    last = stack.pop()
    stack[-1] = (stack[-1], last)
    return pos


def _tuple3(machine: Machine, pos: int) -> int:
    stack = machine.stack
    last, middle = stack.pop(), stack.pop()
    stack[-1] = (stack[-1], middle, last)
    return pos


def _from_mark(make: Callable[[list[Any]], object]) -> Callable[[Machine, int], int]:
    def build(machine: Machine, pos: int) -> int:
        machine.stack.append(make(machine.pop_mark()))
        return pos

    return build


def _put(machine: Machine, index: int) -> None:
    machine.has_put = True
    machine.memo[index] = machine.stack[-1]


def _put_text(machine: Machine, pos: int) -> int:
    text, pos = machine.line(pos)
    _put(machine, int(text))
    return pos


def _binput(machine: Machine, pos: int) -> int:
    _put(machine, machine.data[pos])
    return pos + 1


def _long_binput(machine: Machine, pos: int) -> int:
    _put(machine, int.from_bytes(machine.take(pos, 4), "little"))
    return pos + 4


def _get_text(machine: Machine, pos: int) -> int:
    text, pos = machine.line(pos)
    machine.stack.append(machine.memo[int(text)])
    return pos


def _long_binget(machine: Machine, pos: int) -> int:
    machine.stack.append(machine.memo[int.from_bytes(machine.take(pos, 4), "little")])
    return pos + 4


def _proto(machine: Machine, pos: int) -> int:
    if machine.data[pos] > pickle.HIGHEST_PROTOCOL:
        raise ValueError(f"unsupported pickle protocol: {machine.data[pos]}")
    return pos + 1


def _frame(machine: Machine, pos: int) -> int:
    # A frame only says how far to read ahead, and here all is read already.
    if pos + 8 > len(machine.data):
        raise EOFError("the file ends within a frame's header")
    return pos + 8


def _pop(machine: Machine, pos: int) -> int:
    if machine.marks and machine.marks[-1] == len(machine.stack):
        machine.marks.pop()
    else:
        machine.stack.pop()
    return pos


def _pop_mark(machine: Machine, pos: int) -> int:
    machine.pop_mark()
    return pos


def _dup(machine: Machine, pos: int) -> int:
    machine.stack.append(machine.stack[-1])
    return pos


def _append(machine: Machine, pos: int) -> int:
    item = machine.stack.pop()
    _target(machine, list, "appends to").append(item)
    return pos


def _appends(machine: Machine, pos: int) -> int:
    items = machine.pop_mark()
    _target(machine, list, "appends to").extend(items)
    return pos


def _set_item(machine: Machine, pos: int) -> int:
    value, key = machine.stack.pop(), machine.stack.pop()
    _target(machine, dict, "sets an item of")[_key(key)] = value
    return pos


def _set_items(machine: Machine, pos: int) -> int:
    stack, start = machine.stack, machine.marks.pop()
    target = stack[start - 1] if start else None
    if type(target) is not dict:
        raise RefusedError(f"the pickle sets items of {name_of(target)}")
    for index in range(start, len(stack), 2):
        key = stack[index]
        target[key if type(key) in _KEY_TYPES else _key(key)] = stack[index + 1]
    del stack[start:]
    return pos


def _add_items(machine: Machine, pos: int) -> int:
    items = machine.pop_mark()
    _target(machine, set, "adds to").update(map(_key, items))
    return pos


def _target(machine: Machine, kind: type, what: str) -> Any:
    target = machine.stack[-1]
    if type(target) is not kind:
        raise RefusedError(f"the pickle {what} {name_of(target)}")
    return target


def _key(key: object) -> Any:
    if type(key) in _KEY_TYPES or isinstance(key, np.generic):
        return key
    if isinstance(key, (list, dict, set, np.ndarray)):
        raise TypeError(f"unhashable type: {type(key).__name__!r}")
    raise RefusedError(f"the pickle uses {name_of(key)} as a key")


def _dict_of(items: list[Any]) -> dict[Any, Any]:
    return {_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)}


def _frozenset_of(items: list[Any]) -> frozenset[Any]:
    return frozenset(map(_key, items))


def _global(machine: Machine, pos: int) -> int:
    module, pos = machine.line(pos)
    name, pos = machine.line(pos)
    machine.stack.append(_find(module, name))
    return pos


def _stack_global(machine: Machine, pos: int) -> int:
    name, module = machine.stack.pop(), machine.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise RefusedError(f"the pickle names a global by {name_of(name)} and {name_of(module)}")
    machine.stack.append(_find(module, name))
    return pos


def _find(module: str, name: str) -> Global:
    stand_in = GLOBALS.get((module, name))
    if stand_in is None:
        raise RefusedError(f"the pickle asks for {module[:80]}.{name[:80]}")
    return stand_in


def _reduce(machine: Machine, pos: int) -> int:
    """Call a stand-in with the arguments on the stack."""
    arguments, function = machine.stack.pop(), machine.stack.pop()
    if type(function) is not Global or function.call is None or type(arguments) is not tuple:
        raise RefusedError(f"the pickle calls {name_of(function)}")
    try:
        machine.stack.append(function.call(*arguments))
    except TypeError as error:
        raise RefusedError(f"the pickle calls {function.name} with other arguments than its own ({error})") from None
    return pos


def _new_object(machine: Machine, pos: int) -> int:
    """Make an instance: of joblib's array wrapper only, which becomes its array at once where its header came before."""
    stack = machine.stack
    arguments, cls = stack.pop(), stack.pop()
    if cls is not JOBLIB_ARRAY or type(arguments) is not tuple or arguments:
        raise RefusedError(f"the pickle makes an instance of {name_of(cls)}")
    stack.append(_WRAPPER)
    known = take_header(machine, pos)
    if known is None:
        machine.opened = (pos, len(machine.memo), len(stack))
        return pos
    stack[-1], pos = _WRAPPER.read(known[0], machine.data, known[1])
    return pos


def _build(machine: Machine, pos: int) -> int:
    """Set the state of a dtype, an array or a joblib wrapper; the array of the wrapper follows in the data."""
    stack = machine.stack
    state, target = stack.pop(), stack[-1]
    if type(target) is JoblibArray:
        if machine.opened is not None and machine.opened[2] == len(stack) and type(state) is dict:
            keep_header(machine, machine.opened[0], pos, state, machine.opened[1])
        machine.opened = None
        stack[-1], pos = target.read(state, machine.data, pos)
    elif type(target) is Dtype:
        target.set_state(state)
    elif type(target) is np.ndarray:
        set_array_state(target, state)
    else:
        raise RefusedError(f"the pickle sets the state of {name_of(target)}")
    return pos


def name_of(value: object) -> str:
    """Name a value of the file for a message."""
    if type(value) is Global:
        return value.name
    return shown(value) if isinstance(value, (str, bytes, int, float)) else f"a {type(value).__name__.lstrip('_').lower()}"


def _refused(name: str) -> Callable[[Machine, int], NoReturn]:
    def refuse(_machine: Machine, _pos: int) -> NoReturn:
        raise RefusedError(f"the pickle uses the opcode {name}")

    return refuse


def _unknown(_machine: Machine, pos: int) -> NoReturn:
    raise ValueError(f"no opcode of a pickle at byte {pos - 1}")


OPCODES: Final[dict[str, Callable[[Any, int], int]]] = {
    **LITERALS,
    "PROTO": _proto,
    "FRAME": _frame,
    "POP": _pop,
    "POP_MARK": _pop_mark,
    "DUP": _dup,
    "PUT": _put_text,
    "BINPUT": _binput,
    "LONG_BINPUT": _long_binput,
    "GET": _get_text,
    "LONG_BINGET": _long_binget,
    "EMPTY_TUPLE": made(tuple),
    "TUPLE1": _tuple1,
    "TUPLE2": _tuple2,
    "TUPLE3": _tuple3,
    "TUPLE": _from_mark(tuple),
    "EMPTY_LIST": made(list),
    "LIST": _from_mark(list),
    "APPEND": _append,
    "APPENDS": _appends,
    "EMPTY_DICT": made(dict),
    "DICT": _from_mark(_dict_of),
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "EMPTY_SET": made(set),
    "ADDITEMS": _add_items,
    "FROZENSET": _from_mark(_frozenset_of),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": _new_object,
    "BUILD": _build,
}
"""Opcodes that build plain values, or name a global, which `GLOBALS` decides on; those that `execute` handles are missing."""
_BINGET, _BININT1, _MEMOIZE = pickle.BINGET[0], pickle.BININT1[0], pickle.MEMOIZE[0]
_MARK, _STOP = pickle.MARK[0], pickle.STOP[0]


def handlers_of(by_name: Mapping[str, Callable[[Any, int], int]]) -> list[Callable[[Any, int], int]]:
    """Return what handles each byte as an opcode: those named, and a refusal of all others."""
    table: list[Callable[[Any, int], int]] = [_unknown] * 256
    for name in pickle.__all__:
        code = getattr(pickle, name)
        if isinstance(code, bytes) and len(code) == 1:
            table[code[0]] = by_name.get(name) or _refused(name)
    return table


_HANDLERS: Final = handlers_of(OPCODES)
