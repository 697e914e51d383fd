"""Functions that XLA calls on CPUs, on all cores, without the interpreter.

XLA hands over one struct, the call frame of its foreign function interface (`xla/ffi/api/c_api.h`,
version 0.1 and later ones), whose fields are read at the places that C gives them. The items of a
call are the rows of the first two axes of its arrays, see `threads.py`.
"""

import ctypes
from collections.abc import Mapping, Sequence

import jax
import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from wf_jax.native.emit import INT32, INT64, POINTER, Value, int64
from wf_jax.native.memory import address, empty
from wf_jax.native.target import Target
from wf_jax.native.threads import (
    ARENAS,
    ARRAYS,
    EACH,
    ITEMS,
    MOST_THREADS,
    NEXT,
    TAKEN,
    THREADS,
    Operand,
    Threads,
    at,
    field,
    known,
)

PREFIX = "wf_jax"  # of the names by which XLA knows functions
PAGE = 1024  # float32 numbers; arenas begin on one
MOST_MEMORY = 1 << 29  # float32 numbers of all arenas of a module, 2 GiB

# Bytes from the beginning of the structs of the interface to their fields.
_EXTENSION, _ARGUMENTS, _RESULTS = 8, 72, 112  # of a call frame
_KIND, _METADATA = 8, 24  # of an extension
_ASKS_FOR_METADATA = 1  # the kind that does
_VERSION = 24  # of the metadata, two int32: major and minor
_OUR_VERSION = 1 << 32  # 0.1
_DATA, _DIMENSIONS = 24, 40  # of a buffer

# By name the function (arena*, operands*, result*) of one item, its operands, and its result.
Functions = Mapping[str, tuple[ir.Function, Sequence[Operand], Operand]]


def write_calls(module: ir.Module, target: Target, arena: int, functions: Functions) -> None:
    """Adds the functions that XLA calls to a module.

    Args:
        module: that they go to.
        target: the processor.
        arena: numbers that an item works on.
        functions: to be called; the second operand of each is not shared.
    """
    threads = Threads(module, target, _whole_pages(arena))
    for name, (function, operands, result) in functions.items():
        _write_handler(module, name, threads, function, [*operands, result])


class Calls:
    """The functions that XLA calls of a loaded module, and the memory that they work on."""

    def __init__(self, engine: llvm.ExecutionEngine, arena: int, threads: int):
        """Gives each thread its arena; `arena` as in `write_calls`."""
        self._engine, size = engine, _whole_pages(arena)
        threads = max(1, min(threads, MOST_THREADS, MOST_MEMORY // size))
        self._arenas, self._taken = empty(threads * size), np.zeros(threads, np.int64)
        _put(engine, THREADS, threads)
        _put(engine, ARENAS, address(self._arenas))
        _put(engine, TAKEN, address(self._taken))

    def register(self, function: str, name: str) -> None:
        """Makes a function known to XLA by a name, which must be new."""
        place = self._engine.get_function_address(function)
        jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(ctypes.c_void_p(place)), "cpu")


def _whole_pages(arena: int) -> int:
    return arena + -arena % PAGE


def _put(engine: llvm.ExecutionEngine, name: str, value: int) -> None:
    ctypes.c_int64.from_address(engine.get_global_value_address(name)).value = value


def _write_handler(
    module: ir.Module,
    name: str,
    threads: Threads,
    function: ir.Function,
    operands: Sequence[Operand],
) -> None:
    """Writes (call frame) -> null, which is no error."""
    handler = known(module, name, POINTER, POINTER)
    builder, (frame,) = ir.IRBuilder(handler.append_basic_block("entry")), handler.args
    null = ir.Constant(POINTER, None)
    extension = _pointer(builder, frame, _EXTENSION)
    with builder.if_then(builder.icmp_unsigned("!=", extension, null)):
        kind = builder.load(at(builder, extension, _KIND), align=4, typ=INT32)
        asked = builder.icmp_signed("==", kind, ir.Constant(INT32, _ASKS_FOR_METADATA))
        with builder.if_then(asked):
            metadata = _pointer(builder, extension, _METADATA)
            builder.store(int64(_OUR_VERSION), at(builder, metadata, _VERSION), align=4)
            builder.ret(null)
    job = builder.alloca(INT64, ARRAYS + len(operands))
    _fill_job(builder, job, frame, len(operands))
    threads.run(builder, job, function, operands)
    builder.ret(null)


def _fill_job(builder: ir.IRBuilder, job: Value, frame: Value, count: int) -> None:
    """Writes the job of a call frame, whose last of `count` arrays is the result."""
    arguments, results = (_pointer(builder, frame, place) for place in (_ARGUMENTS, _RESULTS))
    buffers = [_pointer(builder, arguments, 8 * i) for i in range(count - 1)]
    buffers.append(_pointer(builder, results, 0))
    dimensions = _pointer(builder, buffers[1], _DIMENSIONS)
    captures, each = (field(builder, dimensions, axis) for axis in (0, 1))
    numbers = {ITEMS: builder.mul(captures, each), EACH: each, NEXT: int64(0)}
    for i, buffer in enumerate(buffers):
        numbers[ARRAYS + i] = builder.ptrtoint(_pointer(builder, buffer, _DATA), INT64)
    for index, number in numbers.items():
        builder.store(number, at(builder, job, 8 * index), align=8)


def _pointer(builder: ir.IRBuilder, pointer: Value, offset: int) -> Value:
    return builder.load(at(builder, pointer, offset), align=8, typ=POINTER)
