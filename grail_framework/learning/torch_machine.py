"""A machine for the pickles inside of torch's files: that of motion files, with tensors, and with inert objects for foreign classes.

Nothing that a pickle names is imported or called. What it says about objects of classes that are not known here is kept as data.
"""

from __future__ import annotations

from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
import torch

from grail_framework.learning.foreign import Foreign, printable
from grail_framework.learning.torch_values import (
    TORCH_GLOBALS,
    ObjectDtype,
    Storage,
    StorageType,
    is_object_array_state,
    set_object_array,
)
from grail_framework.motion.pickle_literals import Machine
from grail_framework.motion.pickle_machine import OPCODES, execute, handlers_of, name_of
from grail_framework.motion.pickle_values import Dtype, Global, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

_KEY_TYPES: Final = frozenset((str, int, float, bool, bytes, type(None), torch.dtype, torch.device, Foreign, Global))
_SETS: Final = {(module, kind.__name__): kind for module in ("builtins", "__builtin__") for kind in (set, frozenset)}
_LARGEST_KEY: Final = 32
_LARGEST_NAME: Final = 240


@attrs.frozen(eq=False)
class SetType:
    """Stands in for `set` or `frozenset`."""

    kind: type


class TorchMachine(Machine):
    """The state of a machine, what reads a storage, and the foreign names it came upon."""

    __slots__ = ("foreign", "load_storage")

    def __init__(self, data: bytearray, load_storage: Callable[[str, int, torch.dtype], Storage]) -> None:
        super().__init__(data)
        self.load_storage = load_storage
        self.foreign: dict[str, int] = {}
        """Foreign names, and how often each would have been called or an instance of it made."""

    def find(self, module: str, name: str) -> object:
        """Return what stands in for a name of the pickle."""
        known = TORCH_GLOBALS.get((module, name))
        if known is not None:
            return known
        if (module, name) in _SETS:
            return SetType(_SETS[module, name])
        # torch writes protocol 2, in which modules and functions have the names of Python 2.
        module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        full = printable(f"{module}.{name}")
        self.foreign.setdefault(full, 0)
        return Foreign(full, bare=True)

    def make(self, cls: Foreign, arguments: tuple[Any, ...]) -> Foreign:
        """Return the inert object in place of what a call of a foreign name would have returned."""
        if not cls.bare:  # the result of a call is called
            return Foreign(f"{cls.name}()"[:_LARGEST_NAME], (cls, *arguments))
        self.foreign[cls.name] += 1
        return Foreign(cls.name, arguments)


def run_torch_pickle(machine: TorchMachine) -> object:
    """Run a pickle to its end and return the value it leaves.

    Raises:
        RefusedError: it asks for what cannot be represented.
        Exception: of any other kind where the pickle is damaged.
    """
    return execute(machine, _HANDLERS)


def _global(machine: TorchMachine, pos: int) -> int:
    module, pos = machine.line(pos)
    name, pos = machine.line(pos)
    machine.stack.append(machine.find(module, name))
    return pos


def _stack_global(machine: TorchMachine, pos: int) -> int:
    name, module = machine.stack.pop(), machine.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise RefusedError(f"the pickle names a global by {name_of(name)} and {name_of(module)}")
    machine.stack.append(machine.find(module, name))
    return pos


def _call(machine: TorchMachine, function: object, arguments: object) -> object:
    if type(arguments) is not tuple:
        raise RefusedError(f"the pickle calls {name_of(function)} with {name_of(arguments)}")
    if type(function) is Foreign:
        return machine.make(function, arguments)
    if type(function) is SetType:
        return function.kind(map(_key, *arguments)) if arguments else function.kind()
    if type(function) is not Global or function.call is None:
        raise RefusedError(f"the pickle calls {name_of(function)}")
    try:
        return function.call(*arguments)
    except TypeError as error:
        raise RefusedError(f"the pickle calls {function.name} with other arguments than its own ({error})") from None


def _reduce(machine: TorchMachine, pos: int) -> int:
    arguments, function = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(_call(machine, function, arguments))
    return pos


def _new_object_with_names(machine: TorchMachine, pos: int) -> int:
    keywords, arguments, cls = machine.stack.pop(), machine.stack.pop(), machine.stack.pop()
    if type(arguments) is not tuple:
        raise RefusedError(f"the pickle makes an instance of {name_of(cls)} from {name_of(arguments)}")
    machine.stack.append(_call(machine, cls, (*arguments, keywords)))
    return pos


def _build(machine: TorchMachine, pos: int) -> int:
    """Set the state of an inert object, a numpy dtype or an array; attributes that a dictionary or a list has are left out."""
    target = machine.stack[-2]
    if type(target) is Dtype or (type(target) is np.ndarray and not is_object_array_state(machine.stack[-1])):
        return OPCODES["BUILD"](machine, pos)
    state = machine.stack.pop()
    if type(target) is Foreign and not target.bare:
        target.state = state
    elif type(target) is np.ndarray:
        set_object_array(target, state)
    elif type(target) not in (dict, list, ObjectDtype):
        raise RefusedError(f"the pickle sets the state of {name_of(target)}")
    return pos


def _append(machine: TorchMachine, pos: int) -> int:
    item = machine.stack.pop()
    _elements(machine).append(item)
    return pos


def _appends(machine: TorchMachine, pos: int) -> int:
    items = machine.pop_mark()
    _elements(machine).extend(items)
    return pos


def _elements(machine: TorchMachine) -> list[Any]:
    target = machine.stack[-1]
    if type(target) is list:
        return target
    if type(target) is Foreign and not target.bare:
        return target.elements
    raise RefusedError(f"the pickle appends to {name_of(target)}")


def _add_items(machine: TorchMachine, pos: int) -> int:
    items = machine.pop_mark()
    target = machine.stack[-1]
    if type(target) is set:
        target.update(map(_key, items))
    else:
        _elements(machine).extend(items)
    return pos


def _set_item(machine: TorchMachine, pos: int) -> int:
    value, key = machine.stack.pop(), machine.stack.pop()
    _set(machine.stack[-1], key, value)
    return pos


def _set_items(machine: TorchMachine, pos: int) -> int:
    items = machine.pop_mark()
    target = machine.stack[-1]
    for key, value in zip(items[::2], items[1::2], strict=True):
        _set(target, key, value)
    return pos


def _set(target: object, key: object, value: object) -> None:
    if type(target) is dict:
        target[_key(key)] = value
    elif type(target) is Foreign and not target.bare:
        target.items.append((key, value))
    else:
        raise RefusedError(f"the pickle sets items of {name_of(target)}")


def _key(key: object) -> Any:
    # Of tuples only flat ones: hashing a tuple of tuples of tuples can take forever.
    if type(key) in _KEY_TYPES or isinstance(key, np.generic):
        return key
    if type(key) is tuple and len(key) <= _LARGEST_KEY and all(type(part) in _KEY_TYPES for part in key):
        return key
    raise RefusedError(f"the pickle uses {name_of(key)} as a key")


def _dict(machine: TorchMachine, pos: int) -> int:
    items = machine.pop_mark()
    machine.stack.append({_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)})
    return pos


def _frozenset(machine: TorchMachine, pos: int) -> int:
    machine.stack.append(frozenset(map(_key, machine.pop_mark())))
    return pos


def _storage(machine: TorchMachine, pos: int) -> int:
    """Put a storage in place of its persistent id: ("storage", class, key, location, number of items)."""
    described = machine.stack.pop()
    if (
        type(described) is not tuple
        or len(described) != 5
        or described[0] != "storage"
        or type(described[1]) is not StorageType
        or type(described[2]) is not str
        or type(described[4]) is not int
    ):
        raise RefusedError("the pickle describes a storage in an unknown way")
    _, kind, key, _, size = described
    machine.stack.append(machine.load_storage(key, size, kind.dtype))
    return pos


_HANDLERS: Final = handlers_of(
    {
        **OPCODES,
        "GLOBAL": _global,
        "STACK_GLOBAL": _stack_global,
        "REDUCE": _reduce,
        "NEWOBJ": _reduce,  # both take a class and a tuple
        "NEWOBJ_EX": _new_object_with_names,
        "BUILD": _build,
        "APPEND": _append,
        "APPENDS": _appends,
        "ADDITEMS": _add_items,
        "SETITEM": _set_item,
        "SETITEMS": _set_items,
        "DICT": _dict,
        "FROZENSET": _frozenset,
        "BINPERSID": _storage,
    }
)
