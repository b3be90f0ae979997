"""The opcodes of pickles that stand for a number, a text or bytes, and the machine's state they work on.

Format: the `pickletools` module (protocols 0-5).
"""

from __future__ import annotations

import codecs
import struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from grail_framework.motion.pickle_repeats import Header


class Machine:
    """Data, stack and memo of one file."""

    __slots__ = ("data", "has_put", "headers", "marks", "memo", "opened", "stack")

    def __init__(self, data: bytearray) -> None:
        self.data = data
        self.stack: list[Any] = []
        self.marks: list[int] = []
        """Heights of the stack at the open marks."""
        self.memo: dict[int, Any] = {}
        self.has_put = False
        """Whether the file wrote to a place of the memo that it chose."""
        self.headers: list[Header] = []
        """Headers of arrays that may come again."""
        self.opened: tuple[int, int, int] | None = None
        """Where the header of the last array began: in the data, in the memo, and the height of the stack."""

    def take(self, pos: int, size: int) -> bytearray:
        """Return `size` bytes at a position."""
        if size < 0 or pos + size > len(self.data):
            raise EOFError(f"the file ends {pos + size - len(self.data)} bytes too early")
        return self.data[pos : pos + size]

    def line(self, pos: int) -> tuple[str, int]:
        """Return the text up to the next newline, and the position behind it."""
        end = self.data.index(b"\n", pos)
        return self.data[pos:end].decode("latin-1"), end + 1

    def pop_mark(self) -> list[Any]:
        """Take what lies above the last mark off the stack."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items


def _constant(value: object) -> Callable[[Machine, int], int]:
    def push(machine: Machine, pos: int) -> int:
        machine.stack.append(value)
        return pos

    return push


def made(make: Callable[[], object]) -> Callable[[Machine, int], int]:
    """Make the handler of an opcode that pushes a new value."""

    def push(machine: Machine, pos: int) -> int:
        machine.stack.append(make())
        return pos

    return push


def _packed(layout: str) -> Callable[[Machine, int], int]:
    """A number of fixed size."""
    unpack, size = struct.Struct(layout).unpack_from, struct.calcsize(layout)

    def push(machine: Machine, pos: int) -> int:
        machine.stack.append(unpack(machine.data, pos)[0])
        return pos + size

    return push


def _counted(layout: str, convert: Callable[[bytearray], object]) -> Callable[[Machine, int], int]:
    """A value made of bytes, behind their number."""
    unpack, width = struct.Struct(layout).unpack_from, struct.calcsize(layout)

    def push(machine: Machine, pos: int) -> int:
        (size,) = unpack(machine.data, pos)
        machine.stack.append(convert(machine.take(pos + width, size)))
        return pos + width + size

    return push


def _short(convert: Callable[[bytearray], object]) -> Callable[[Machine, int], int]:
    """A value made of bytes, behind their number in one byte."""

    def push(machine: Machine, pos: int) -> int:
        data = machine.data
        end = pos + 1 + data[pos]
        if end > len(data):
            raise EOFError(f"the file ends {end - len(data)} bytes too early")
        machine.stack.append(convert(data[pos + 1 : end]))
        return end

    return push


def _written(convert: Callable[[str], object]) -> Callable[[Machine, int], int]:
    """A value written as a line of text."""

    def push(machine: Machine, pos: int) -> int:
        text, pos = machine.line(pos)
        machine.stack.append(convert(text))
        return pos

    return push


def _integer(text: str) -> object:
    return {"00": False, "01": True}[text] if text in ("00", "01") else int(text)


def _quoted(text: str) -> str:
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "\"'":
        raise ValueError("a text without quotes")
    return codecs.escape_decode(text[1:-1].encode("latin-1"))[0].decode("ascii")  # pyright: ignore[reportAttributeAccessIssue]


def _utf8(content: bytearray) -> str:
    return content.decode("utf-8", "surrogatepass")


def _int_of(content: bytearray) -> int:
    return int.from_bytes(content, "little", signed=True)


LITERALS: Final[dict[str, Callable[[Machine, int], int]]] = {
    "NONE": _constant(None),
    "NEWFALSE": _constant(False),
    "NEWTRUE": _constant(True),
    "INT": _written(_integer),
    "LONG": _written(lambda text: int(text.removesuffix("L"))),
    "FLOAT": _written(float),
    "BININT": _packed("<i"),
    "BININT2": _packed("<H"),
    "BINFLOAT": _packed(">d"),
    "LONG1": _short(_int_of),
    "LONG4": _counted("<i", _int_of),
    "STRING": _written(_quoted),
    "BINSTRING": _counted("<i", lambda content: content.decode("ascii")),
    "SHORT_BINSTRING": _short(lambda content: content.decode("ascii")),
    "BINBYTES": _counted("<I", bytes),
    "SHORT_BINBYTES": _short(bytes),
    "BINBYTES8": _counted("<Q", bytes),
    "BYTEARRAY8": _counted("<Q", bytearray),
    "UNICODE": _written(lambda text: text.encode("latin-1").decode("raw-unicode-escape")),
    "BINUNICODE": _counted("<I", _utf8),
    "SHORT_BINUNICODE": _short(_utf8),
    "BINUNICODE8": _counted("<Q", _utf8),
}
"""By opcode name: takes the machine and the position behind the opcode, returns the position behind its argument."""
