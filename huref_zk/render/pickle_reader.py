"""Read a pickle as data, without the pickle module and without running anything in it.

A pickle is a program for a small stack machine whose CALL instruction is what makes it dangerous.
This is that machine with the danger left out: a name in the pickle becomes an inert ``Name``, to be
looked up in a fixed table, and "calling" it runs the table's own function, which builds a record.
There is no import, no attribute access and no way to reach either. Opcodes outside the list below,
names outside the table, and anything larger than the limits give an InputError.

Memory is bounded by the file: byte strings stay views of it, and every other opcode makes at most
one small object. Nothing here recurses over what it reads, and dictionary keys can only be strings
and integers, so deep nesting and self-reference are harmless.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from huref_zk.errors import InputError

MAX_OPCODES = 500_000
MAX_STRING_BYTES = 1 << 24  # all strings of a pickle together
MAX_INTEGER_BYTES = 16
_NOT_DATA = "refused: the pickle "


@dataclass(frozen=True, eq=False)
class Name:
    """A global the pickle mentions; never resolved."""

    text: str


@dataclass(frozen=True, eq=False)
class Reference:
    """What BINPERSID refers to, unresolved."""

    value: Any


class Opaque:
    """A value a builder makes of what is of no use to the reader; it may be given any state."""


class _Mark:
    """Bottom of an argument list on the stack."""


# Takes the argument tuple, returns a record. Shared by REDUCE and NEWOBJ.
Builder = Callable[[tuple[Any, ...]], Any]


def read_pickle(
    data: memoryview,
    builders: Mapping[str, Builder],
    start: int = 0,
    max_opcodes: int = MAX_OPCODES,
) -> tuple[Any, int]:
    """(value, end position) of the pickle that starts at ``start``.

    ``builders`` maps each allowed global, as "module name", to the function that stands for it.
    Lists, dicts, tuples, sets, strings, numbers, None and booleans come as themselves; byte strings
    as memoryview slices of ``data``. Raises InputError on everything else.
    """
    machine = _Machine(data, builders, start)
    try:
        return machine.run(max_opcodes), machine.at
    except (IndexError, struct.error):
        raise InputError(f"{_NOT_DATA}is cut off or malformed at byte {machine.at}") from None
    except UnicodeDecodeError:
        raise InputError(f"{_NOT_DATA}has a string that is not UTF-8") from None


class _Machine:
    def __init__(self, data: memoryview, builders: Mapping[str, Builder], start: int):
        self.data = data
        self.builders = builders
        self.at = start
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.string_bytes = 0

    def run(self, max_opcodes: int) -> Any:
        for _ in range(max_opcodes):
            code = self.data[self.at]
            self.at += 1
            if code == 0x2E:  # STOP
                if len(self.stack) != 1:
                    self.refuse("ends with more or less than one value")
                return self.stack.pop()
            handler = _OPCODES.get(code)
            if handler is None:
                self.refuse(f"uses opcode 0x{code:02x}, which no StyleGAN2 release has")
            handler(self)
        self.refuse(f"has more than {max_opcodes} opcodes")

    def refuse(self, why: str) -> NoReturn:
        raise InputError(f"{_NOT_DATA}{why} (before byte {self.at})")

    # Reading arguments

    def take(self, count: int) -> memoryview:
        if count > len(self.data) - self.at:
            self.refuse(f"announces {count} bytes where {len(self.data) - self.at} are left")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def text(self, count: int) -> str:
        self.string_bytes += count
        if self.string_bytes > MAX_STRING_BYTES:
            self.refuse(f"holds more than {MAX_STRING_BYTES} bytes of strings")
        return bytes(self.take(count)).decode("utf-8", "strict")

    def line(self) -> str:
        """Text up to a newline, for GLOBAL: two short names."""
        window = bytes(self.data[self.at : self.at + 256])
        end = window.index(b"\n") if b"\n" in window else self.refuse("has an overlong name")
        self.at += end + 1
        return window[:end].decode("utf-8", "strict")

    # The stack

    def pop(self, kind: type | tuple[type, ...] = object) -> Any:
        value = self.stack.pop()
        if isinstance(value, _Mark) or not isinstance(value, kind):
            self.refuse(f"has a {type(value).__name__} where it may not")
        return value

    def pop_to_mark(self) -> list[Any]:
        for i in range(len(self.stack) - 1, -1, -1):
            if isinstance(self.stack[i], _Mark):
                items = self.stack[i + 1 :]
                del self.stack[i:]
                return items
        self.refuse("has no mark where one is needed")

    def top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            self.refuse(f"adds items to a {type(self.stack[-1]).__name__}")
        return self.stack[-1]

    # Opcodes of more than one line

    def name(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            self.refuse("has a name that is not text")
        text = f"{module} {name}"
        if text not in self.builders:
            self.refuse(f"names {text[:80]!r}, which no StyleGAN2 release needs; it was not run")
        self.stack.append(Name(text))

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        self.name(module, name)

    def call(self) -> None:
        arguments, name = self.pop(tuple), self.pop(Name)
        self.stack.append(self.builders[name.text](arguments))

    def build(self) -> None:
        """State of an object: an empty one (an EasyDict's own attributes), or one of no use."""
        if self.pop() not in (None, {}) and not isinstance(self.stack[-1], Opaque):
            self.refuse("sets the state of an object")

    def put(self, index: int) -> None:
        self.memo[index] = self.pop()
        self.stack.append(self.memo[index])

    def get(self, index: int) -> None:
        if index not in self.memo:
            self.refuse(f"recalls value {index}, which it never stored")
        self.stack.append(self.memo[index])

    def set_items(self, items: list[Any]) -> None:
        target = self.top(dict)
        if len(items) % 2:
            self.refuse("has a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[self.key(key)] = value

    def key(self, key: Any) -> str | int:
        if type(key) not in (str, int):
            self.refuse(f"has a {type(key).__name__} as a key or set member")
        return key

    def integer(self) -> int:
        count = self.number("<B")
        if count > MAX_INTEGER_BYTES:
            self.refuse(f"has an integer of {count} bytes")
        return int.from_bytes(self.take(count), "little", signed=True)

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def append_items(self, items: list[Any]) -> None:
        self.top(list).extend(items)

    def add_items(self) -> None:
        items = [self.key(item) for item in self.pop_to_mark()]
        self.top(set).update(items)

    def tuple_of(self, count: int) -> None:
        self.stack.append(tuple(self.pop() for _ in range(count))[::-1])


def _push(make: Callable[[_Machine], Any]) -> Callable[[_Machine], None]:
    return lambda m: m.stack.append(make(m))


# Opcode numbers of protocols 2 to 5, as documented in CPython's Lib/pickletools.py.
_OPCODES: dict[int, Callable[[_Machine], Any]] = {
    0x80: lambda m: m.number("<B"),  # PROTO
    0x95: lambda m: m.number("<Q"),  # FRAME: the frame's content follows in place
    ord("("): _push(lambda m: _Mark()),
    ord("N"): _push(lambda m: None),
    0x88: _push(lambda m: True),
    0x89: _push(lambda m: False),
    ord("J"): _push(lambda m: m.number("<i")),
    ord("K"): _push(lambda m: m.number("<B")),
    ord("M"): _push(lambda m: m.number("<H")),
    0x8A: _push(lambda m: m.integer()),
    ord("G"): _push(lambda m: m.number(">d")),
    ord("X"): _push(lambda m: m.text(m.number("<I"))),
    0x8C: _push(lambda m: m.text(m.number("<B"))),
    0x8D: _push(lambda m: m.text(m.number("<Q"))),
    ord("B"): _push(lambda m: m.take(m.number("<I"))),
    ord("C"): _push(lambda m: m.take(m.number("<B"))),
    0x8E: _push(lambda m: m.take(m.number("<Q"))),
    ord(")"): _push(lambda m: ()),
    0x85: lambda m: m.tuple_of(1),
    0x86: lambda m: m.tuple_of(2),
    0x87: lambda m: m.tuple_of(3),
    ord("t"): _push(lambda m: tuple(m.pop_to_mark())),
    ord("]"): _push(lambda m: []),
    ord("a"): lambda m: m.append_items([m.pop()]),
    ord("e"): lambda m: m.append_items(m.pop_to_mark()),
    ord("}"): _push(lambda m: {}),
    ord("s"): lambda m: m.set_item(),
    ord("u"): lambda m: m.set_items(m.pop_to_mark()),
    0x8F: _push(lambda m: set()),
    0x90: lambda m: m.add_items(),
    ord("q"): lambda m: m.put(m.number("<B")),
    ord("r"): lambda m: m.put(m.number("<I")),
    0x94: lambda m: m.put(len(m.memo)),
    ord("h"): lambda m: m.get(m.number("<B")),
    ord("j"): lambda m: m.get(m.number("<I")),
    ord("c"): lambda m: m.name(m.line(), m.line()),
    0x93: lambda m: m.stack_global(),
    ord("R"): lambda m: m.call(),
    0x81: lambda m: m.call(),  # NEWOBJ
    ord("b"): lambda m: m.build(),
    ord("Q"): _push(lambda m: Reference(m.pop())),
}
