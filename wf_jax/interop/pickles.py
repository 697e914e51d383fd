"""Reads pickles of arrays without running them: nothing that a file names is imported or called.

A pickle is a program for a small stack machine (`pickletools`). This machine knows the opcodes that
hold data, and builds arrays by its own functions; every other name or opcode ends the reading.
Python's own unpickler, even with a restricted `find_class`, fills memory at an opcode's word
(a memo index, a bytearray's length) and hashes any key; this one is bounded by the file's size.
"""

import dataclasses
import math
import os
import pickletools
import re
import warnings
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from wf_jax.array_files import MOST_AXES, ArrayFileError
from wf_jax.array_files import shown as shown_text
from wf_jax.errors import UserError

MOST_OPCODES = 300_000  # an array takes about 40; so many are run within a second
_LONGEST_LINE = 1 << 10  # bytes of a global's name
NAME_TABLE = "StructuredToParameterName@@"  # Paddle's own bookkeeping: strings, no weights
_STATE_KEYS = ("state_dict", "model", "generator", "params", "main_params")


def arrays_of(loaded: Any, source: str) -> dict[str, np.ndarray]:
    """Finds the state dict in what a checkpoint held: itself, or under a usual key.

    Args:
        loaded: the result of `load`.
        source: the file, for messages.

    Returns:
        Parameter names to arrays, as they were saved. Numbers, strings and None are left out.

    Raises:
        UserError: there is no state dict, or it holds something other than arrays.
    """
    for _ in range(4):
        if not isinstance(loaded, dict):
            break
        inner = [loaded[k] for k in _STATE_KEYS if isinstance(loaded.get(k), dict)]
        if not inner:
            break
        loaded = inner[0]
    if not isinstance(loaded, dict) or not any(_array(v) is not None for v in loaded.values()):
        raise UserError(f"{source}: holds no named arrays; save model.state_dict()")
    return {str(name): array for name, array in _named(loaded, source)}


def _named(state: dict, source: str) -> list[tuple[Any, np.ndarray]]:
    pairs = [(name, _array(value)) for name, value in state.items() if name != NAME_TABLE]
    for name, array in pairs:
        if array is None and not isinstance(state[name], (int, float, str, type(None))):
            kind = type(state[name]).__name__
            raise UserError(
                f"{source}: {shown(name)} is a {kind} among arrays; save model.state_dict() alone"
            )
    return [(name, array) for name, array in pairs if array is not None]


def _array(value: Any) -> np.ndarray | None:
    if isinstance(value, tuple) and len(value) == 2:  # Paddle >= 2.1: (parameter's name, array)
        value = value[1]
    value = value.array if isinstance(value, _Pending) else value
    return value if isinstance(value, np.ndarray) else None


def shown(text: Any) -> str:
    """Formats a value from an untrusted file for one line of a terminal."""
    flat = isinstance(text, (list, tuple)) and all(type(n) is int for n in text)
    if not flat and not isinstance(text, (str, int, Exception)):
        return type(text).__name__  # the text of a nested tuple can outgrow any memory
    return shown_text(str(text))


def load(file: BinaryIO, source: str, storage: Callable[[tuple], np.ndarray] | None = None) -> Any:
    """Reads one pickle of protocol 2 to 5, and stops at the first opcode that arrays do not need.

    Args:
        file: the pickle, open at its beginning.
        source: the file, for messages.
        storage: gives the flat array that a persistent id of PyTorch names.

    Returns:
        Dicts, lists, tuples, numbers, strings and arrays; pass it to `arrays_of`.

    Raises:
        UserError: it is damaged, or asks for more than arrays.
        ArrayFileError: a storage is damaged.
    """
    machine = _Machine(source, storage)
    try:
        with warnings.catch_warnings():  # pickletools on a backslash in a name
            warnings.simplefilter("ignore", DeprecationWarning)
            return machine.run(file)
    except (UserError, ArrayFileError):  # the latter from a storage
        raise
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError) as error:
        kind = type(error).__name__
        raise UserError(f"{source}: damaged pickle ({kind}); fetch the file again") from None
    except ValueError as error:
        raise UserError(
            f"{source}: damaged pickle ({shown(error)}); fetch the file again"
        ) from None


@dataclasses.dataclass(frozen=True)
class Global:
    """A name that a pickle of arrays needs, and the function that replaces it here."""

    name: str
    build: Callable[..., Any] | None = None
    dtype: str = ""  # of a storage: numpy's code, "bf16" for bfloat16


class _Ordered(dict):
    """An OrderedDict: PyTorch hangs version numbers on it, which say nothing of the weights."""

    def set_state(self, state: Any) -> None:
        pass


class _Dtype:
    """A numpy dtype of plain numbers: `f4` and a byte order."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or not re.fullmatch(r"[<>=|]?(f[248]|[iu][1248]|b1)", code):
            raise UserError(f"refused: an array of type {shown(code)}; only plain numbers are read")
        self.dtype = np.dtype(code)

    def set_state(self, state: Any) -> None:
        order = state[1]
        self.dtype = self.dtype.newbyteorder("=" if order == "|" else order)


class _Pending:
    """A numpy array between its creation and the opcode that fills it."""

    def __init__(self) -> None:
        self.array: np.ndarray | None = None

    def set_state(self, state: Any) -> None:
        _, shape, dtype, is_fortran, data = state
        self.array = _filled(data, dtype, shape, "F" if is_fortran else "C")


def _filled(data: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    # Counted before they are multiplied, which takes long for many.
    if len(shape) > MOST_AXES or not all(type(n) is int and 0 <= n < 1 << 63 for n in shape):
        raise UserError(f"damaged: an array of shape {shown(shape)}; fetch the file again")
    expected = math.prod(shape) * dtype.dtype.itemsize
    if expected != len(data):
        raise UserError(
            f"damaged: an array of shape {shown(shape)} has {len(data)} bytes, not "
            f"{shown(expected)}; fetch the file again"
        )
    return np.frombuffer(data, dtype.dtype).reshape(shape, order=order)


def _from_buffer(data: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Pending:
    pending = _Pending()
    pending.array = _filled(data, dtype, shape, order)
    return pending


def _scalar(dtype: _Dtype, data: bytes) -> int | float | bool:
    return _filled(data, dtype, (), "C").item()


def _encode(text: str, encoding: str) -> bytes:
    """Decodes bytes as protocol 2 writes them."""
    if encoding not in ("latin1", "latin-1"):
        raise UserError(f"damaged: bytes as {shown(encoding)}; fetch the file again")
    return text.encode("latin-1")


def _pair(pair: tuple[str, _Pending]) -> tuple[str, _Pending]:
    """Checks a Paddle parameter: its name and its array."""
    if type(pair) is not tuple:
        raise TypeError
    return pair


def _tensor(flat: Any, offset: int, size: tuple, stride: tuple, *_: Any) -> np.ndarray:
    """Makes a view of a storage that stays within it and has no more elements."""
    numbers = (offset, *size, *stride)
    few = len(size) <= MOST_AXES
    if (
        not few
        or not isinstance(flat, np.ndarray)
        or not all(type(n) is int and 0 <= n < 1 << 63 for n in numbers)
    ):
        raise UserError("damaged: a tensor's sizes are not whole numbers; fetch it again")
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    count = math.prod(size)
    if count > flat.size or (count and last >= flat.size):
        raise UserError(
            f"damaged: a tensor of shape {shown(size)} reaches beyond its storage of {flat.size} "
            "values; fetch the file again"
        )
    steps = [s * flat.itemsize for s in stride] if count else None
    at = offset * flat.itemsize if count else 0
    return np.ndarray(size, flat.dtype, flat, at, steps)


_STORAGES = {
    "Double": "f8",
    "Float": "f4",
    "Half": "f2",
    "BFloat16": "bf16",
    "Long": "i8",
    "Int": "i4",
    "Short": "i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "b1",
}
_GLOBALS = {
    **{f"torch.{n}Storage": Global(f"torch.{n}Storage", dtype=d) for n, d in _STORAGES.items()},
    **{
        name: Global(name, build)
        for name, build in {
            "_codecs.encode": _encode,
            "builtins.tuple": _pair,
            "__builtin__.tuple": _pair,
            "collections.OrderedDict": lambda: _Ordered(),
            "numpy.dtype": _Dtype,
            "numpy.ndarray": None,
            "numpy.core.multiarray._reconstruct": lambda *_: _Pending(),
            "numpy._core.multiarray._reconstruct": lambda *_: _Pending(),
            "numpy.core.multiarray.scalar": _scalar,
            "numpy._core.multiarray.scalar": _scalar,
            "numpy.core.numeric._frombuffer": _from_buffer,
            "numpy._core.numeric._frombuffer": _from_buffer,
            "torch._utils._rebuild_tensor_v2": _tensor,
            "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
        }.items()
    },
}


class _Bounded:
    """A file whose reads never allocate more bytes than it holds, whatever an opcode announces."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, os.SEEK_END)
        self._at = file.seek(0)

    def tell(self) -> int:
        return self._at

    def read(self, count: int) -> bytes:
        data = self._file.read(min(count, self.size - self._at))
        self._at += len(data)
        return data

    def readline(self) -> bytes:
        line = self._file.readline(_LONGEST_LINE)
        self._at += len(line)
        return line


class _Machine:
    """The stack machine; `source` is the file in messages."""

    def __init__(self, source: str, storage: Callable[[tuple], np.ndarray] | None) -> None:
        self.source = source
        self.storage = storage
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under each mark
        self.memo: dict[int, Any] = {}
        self.to_encode = 0  # how many bytes text may still become

    def run(self, file: BinaryIO) -> Any:
        file = _Bounded(file)
        self.to_encode = file.size
        for number, (opcode, argument, position) in enumerate(pickletools.genops(file)):
            if number == MOST_OPCODES:
                raise self._refused(f"more than {MOST_OPCODES:,} opcodes")
            if opcode.name == "STOP":
                self._end(file.size - position - 1)
                return self.stack.pop()
            if opcode.name not in _STEPS:
                raise self._refused(f"the pickle opcode {opcode.name} holds no weights")
            try:
                _STEPS[opcode.name](self, argument)
            except UserError as error:  # from the builders, which do not know the file
                text = str(error).removeprefix(f"{self.source}: ")
                raise UserError(f"{self.source}: {text}") from None
        raise UserError(f"{self.source}: the pickle has no end; fetch the file again")

    def _end(self, rest: int) -> None:
        if rest or self.below or len(self.stack) != 1:
            raise UserError(
                f"{self.source}: damaged pickle ({rest} bytes follow its end); fetch the file again"
            )

    def _refused(self, reason: str) -> UserError:
        return UserError(f"{self.source}: refused: {reason}; save model.state_dict() alone")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def last(self, count: int) -> tuple[Any, ...]:
        if count > len(self.stack):
            raise IndexError
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return tuple(items)

    def remember(self, index: int | None = None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        for key, value in zip(items[::2], items[1::2], strict=True):
            # The hash of a nested tuple can take longer than the universe has.
            if not isinstance(target, dict) or type(key) not in (str, int):
                raise TypeError
            target[key] = value

    def extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise TypeError
        self.stack[-1].extend(items)

    def find(self, name: str) -> None:
        if name not in _GLOBALS:
            raise self._refused(f"it asks to run {shown(name)}")
        self.push(_GLOBALS[name])

    def find_on_stack(self) -> None:
        module, name = self.last(2)
        if type(module) is not str or type(name) is not str:
            raise TypeError
        self.find(f"{module}.{name}")

    def reduce(self) -> None:
        function, arguments = self.last(2)
        if not isinstance(function, Global) or function.build is None:
            name = function.name if isinstance(function, Global) else type(function).__name__
            raise self._refused(f"it asks to call {shown(name)}")
        made = function.build(*arguments)
        self.to_encode -= len(made) if isinstance(made, bytes) else 0
        if self.to_encode < 0:  # one text encoded again and again
            raise MemoryError
        self.push(made)

    def build(self) -> None:
        (state,) = self.last(1)
        if not isinstance(self.stack[-1], (_Ordered, _Dtype, _Pending)):
            raise self._refused(f"it asks to alter a {type(self.stack[-1]).__name__}")
        self.stack[-1].set_state(state)

    def persistent(self) -> None:
        (name,) = self.last(1)
        if self.storage is None:
            raise self._refused("it names data outside the file")
        self.push(self.storage(name))


_VALUES = """
    BININT BININT1 BININT2 LONG1 BINFLOAT SHORT_BINUNICODE BINUNICODE BINUNICODE8
    SHORT_BINBYTES BINBYTES BINBYTES8 BYTEARRAY8
"""
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME"), lambda m, a: None),
    **dict.fromkeys(_VALUES.split(), lambda m, a: m.push(a)),
    "NONE": lambda m, a: m.push(None),
    "NEWTRUE": lambda m, a: m.push(True),
    "NEWFALSE": lambda m, a: m.push(False),
    "EMPTY_DICT": lambda m, a: m.push({}),
    "EMPTY_LIST": lambda m, a: m.push([]),
    "EMPTY_TUPLE": lambda m, a: m.push(()),
    "MARK": lambda m, a: m.mark(),
    "TUPLE": lambda m, a: m.push(tuple(m.since_mark())),
    "TUPLE1": lambda m, a: m.push(m.last(1)),
    "TUPLE2": lambda m, a: m.push(m.last(2)),
    "TUPLE3": lambda m, a: m.push(m.last(3)),
    "APPEND": lambda m, a: m.extend(list(m.last(1))),
    "APPENDS": lambda m, a: m.extend(m.since_mark()),
    "SETITEM": lambda m, a: m.set_items(list(m.last(2))),
    "SETITEMS": lambda m, a: m.set_items(m.since_mark()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), lambda m, a: m.remember(a)),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda m, a: m.push(m.memo[a])),
    "GLOBAL": lambda m, a: m.find(a.replace(" ", ".", 1)),
    "STACK_GLOBAL": lambda m, a: m.find_on_stack(),
    "REDUCE": lambda m, a: m.reduce(),
    "BUILD": lambda m, a: m.build(),
    "BINPERSID": lambda m, a: m.persistent(),
}
