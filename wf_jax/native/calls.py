"""Functions that XLA calls on CPUs, on all cores, without the interpreter.

XLA hands over one struct, the call frame of its foreign function interface (`xla/ffi/api/c_api.h`,
version 0), whose fields are read at the places that C gives them. The work is a number of items,
one per row of the first two axes of every array; threads take one after the other, each with an
arena of its own, so that the result does not depend on their number. One call of a module runs at
a time: those of several devices take turns.
"""

import ctypes
import dataclasses
from collections.abc import Mapping, Sequence

import jax
import llvmlite.binding as llvm
from llvmlite import ir

from wf_jax.native.emit import INT32, INT64, POINTER, VOID, Value, int64
from wf_jax.native.memory import address, empty
from wf_jax.native.mode import flush_to_zero, restore_mode
from wf_jax.native.target import Target

MOST_THREADS = 256
INITIALIZE, THREADS, ARENAS = "wf_jax_initialize", "wf_jax_threads", "wf_jax_arenas"

# Bytes from the beginning of the structs of the interface to their fields.
_EXTENSION, _API, _ARGUMENTS, _RESULTS = 8, 16, 72, 112  # of a call frame
_METADATA = 24  # of the extension that asks for a version
_VERSION = 24  # of the metadata, two int32: major and minor
_OWN_VERSION = 32  # of the interface's functions, the same
_DATA, _DIMENSIONS = 24, 40  # of a buffer
_MUTEX = 16  # int64 numbers, above what any system's pthread_mutex_t takes
# Fields of a job, int64 numbers: the two arrays' sizes, two counters, then the arrays.
_ITEMS, _EACH, _NEXT, _THREAD, _ARRAYS = range(5)


@dataclasses.dataclass(frozen=True)
class Operand:
    """An array of a call, float32.

    Attributes:
        size: numbers of an item.
        shared: whether all items of a capture share them: [N, size], else [N, B, size].
    """

    size: int
    shared: bool = False


Functions = Mapping[str, tuple[ir.Function, Sequence[Operand], Operand]]


def write_calls(module: ir.Module, target: Target, arena: int, functions: Functions) -> None:
    """Adds the functions that XLA calls to a module.

    Args:
        module: that they go to.
        target: the processor.
        arena: numbers that an item works on.
        functions: by name the function (arena*, operands*, result*) of one item, its operands,
            of which the second is not shared, and its result.
    """
    _Calls(module, target, arena).write(functions)


class Calls:
    """The functions that XLA calls of a loaded module, and the memory that they work on."""

    def __init__(self, engine: llvm.ExecutionEngine, arena: int, threads: int):
        """Gives each thread its arena; `arena` as in `write_calls`."""
        self._engine, threads = engine, min(threads, MOST_THREADS)
        size = arena + -arena % 1024
        self._arenas = empty(threads * size)
        _put(engine, THREADS, threads)
        _put(engine, ARENAS, address(self._arenas))
        ctypes.CFUNCTYPE(None)(engine.get_function_address(INITIALIZE))()

    def register(self, function: str, name: str) -> None:
        """Makes a function known to XLA by a name."""
        new = ctypes.pythonapi.PyCapsule_New
        new.restype = ctypes.py_object
        new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        place = self._engine.get_function_address(function)
        jax.ffi.register_ffi_target(name, new(place, b"xla._CUSTOM_CALL_TARGET", None), "cpu")


def _put(engine: llvm.ExecutionEngine, name: str, value: int) -> None:
    ctypes.c_int64.from_address(engine.get_global_value_address(name)).value = value


class _Calls:
    """Writes them."""

    def __init__(self, module: ir.Module, target: Target, arena: int):
        self.module, self.target = module, target
        self.arena = arena + -arena % 1024
        self.mutex = ir.GlobalVariable(module, ir.ArrayType(INT64, _MUTEX), "wf_jax_mutex")
        self.mutex.linkage, self.mutex.align = "internal", 64
        self.mutex.initializer = ir.Constant(self.mutex.value_type, None)
        self.threads, self.arenas = (self._number(name) for name in (THREADS, ARENAS))

    def write(self, functions: Functions) -> None:
        self._write_initialize()
        for name, (function, operands, result) in functions.items():
            worker = self._write_worker(name, function, [*operands, result])
            self._write_handler(name, worker, len(operands))

    def _number(self, name: str) -> ir.GlobalVariable:
        variable = ir.GlobalVariable(self.module, INT64, name)
        variable.initializer = int64(0)
        return variable

    def _function(self, name: str, result: ir.Type, arguments: Sequence[ir.Type]) -> ir.Function:
        known = self.module.globals.get(name)
        return known or ir.Function(self.module, ir.FunctionType(result, arguments), name)

    def _builder(self, function: ir.Function) -> ir.IRBuilder:
        return ir.IRBuilder(function.append_basic_block("entry"))

    def _write_initialize(self) -> None:
        builder = self._builder(self._function(INITIALIZE, VOID, []))
        init = self._function("pthread_mutex_init", INT32, [POINTER, POINTER])
        builder.call(init, [self.mutex, ir.Constant(POINTER, None)])
        builder.ret_void()

    def _write_worker(
        self, name: str, function: ir.Function, operands: Sequence[Operand]
    ) -> ir.Function:
        """(job) -> null: takes items until none is left; a thread's function."""
        worker = self._function(f"{name}_worker", POINTER, [POINTER])
        worker.linkage = "internal"
        builder, (job,) = self._builder(worker), worker.args
        before = flush_to_zero(self.module, builder, self.target)
        thread = self._count(builder, job, _THREAD)
        mine = builder.mul(thread, int64(4 * self.arena))
        arena = builder.inttoptr(builder.add(builder.load(self.arenas, typ=INT64), mine), POINTER)
        items, each = (self._field(builder, job, field) for field in (_ITEMS, _EACH))
        take, work, done = (worker.append_basic_block(n) for n in ("take", "work", "done"))
        builder.branch(take)
        builder.position_at_end(take)
        item = self._count(builder, job, _NEXT)
        builder.cbranch(builder.icmp_signed("<", item, items), work, done)
        builder.position_at_end(work)
        arguments = [arena]
        for i, operand in enumerate(operands):
            row = builder.sdiv(item, each) if operand.shared else item
            start = self._field(builder, job, _ARRAYS + i)
            place = builder.add(start, builder.mul(row, int64(4 * operand.size)))
            arguments.append(builder.inttoptr(place, POINTER))
        builder.call(function, arguments)
        builder.branch(take)
        builder.position_at_end(done)
        restore_mode(self.module, builder, self.target, before)
        builder.ret(ir.Constant(POINTER, None))
        return worker

    def _write_handler(self, name: str, worker: ir.Function, operands: int) -> None:
        """(call frame) -> null, which is no error."""
        handler = self._function(name, POINTER, [POINTER])
        builder, (frame,) = self._builder(handler), handler.args
        null = ir.Constant(POINTER, None)
        extension = self._pointer(builder, frame, _EXTENSION)
        with builder.if_then(builder.icmp_unsigned("!=", extension, null)):
            metadata = self._pointer(builder, extension, _METADATA)
            # What is read here has been in its place since version 0.1: any 0.x will do.
            own = self._at(builder, self._pointer(builder, frame, _API), _OWN_VERSION)
            version = builder.load(own, align=4, typ=INT64)
            builder.store(version, self._at(builder, metadata, _VERSION), align=4)
            builder.ret(null)
        self._run(builder, frame, worker, operands)
        builder.ret(null)

    def _run(self, builder: ir.IRBuilder, frame: Value, worker: ir.Function, operands: int) -> None:
        """Fills a job, and has all threads work on it."""
        job = builder.alloca(INT64, _ARRAYS + operands + 1)
        threads = builder.alloca(INT64, MOST_THREADS)
        arguments, results = (self._pointer(builder, frame, n) for n in (_ARGUMENTS, _RESULTS))
        buffers = [self._pointer(builder, arguments, 8 * i) for i in range(operands)]
        for i, buffer in enumerate([*buffers, self._pointer(builder, results, 0)]):
            data = self._pointer(builder, buffer, _DATA)
            builder.store(builder.ptrtoint(data, INT64), self._at(builder, job, 8 * (_ARRAYS + i)))
        dimensions = self._pointer(builder, buffers[1], _DIMENSIONS)
        captures, each = (self._field(builder, dimensions, axis) for axis in (0, 1))
        items = builder.mul(captures, each)
        for field, value in ((_ITEMS, items), (_EACH, each), (_NEXT, int64(0))):
            builder.store(value, self._at(builder, job, 8 * field))
        builder.store(int64(0), self._at(builder, job, 8 * _THREAD))
        count = builder.load(self.threads, typ=INT64)
        count = builder.select(builder.icmp_signed("<", items, count), items, count)

        lock = self._function("pthread_mutex_lock", INT32, [POINTER])
        unlock = self._function("pthread_mutex_unlock", INT32, [POINTER])
        create = self._function("pthread_create", INT32, [POINTER] * 4)
        join = self._function("pthread_join", INT32, [INT64, POINTER])
        null = ir.Constant(POINTER, None)
        builder.call(lock, [self.mutex])

        def start(index: Value) -> None:
            place = builder.gep(threads, [index], source_etype=INT64)
            failed = builder.call(create, [place, null, worker, job])
            with builder.if_then(builder.icmp_signed("!=", failed, ir.Constant(INT32, 0))):
                builder.store(int64(0), place)  # the others do its part

        def wait(index: Value) -> None:
            thread = builder.load(builder.gep(threads, [index], source_etype=INT64), typ=INT64)
            with builder.if_then(builder.icmp_signed("!=", thread, int64(0))):
                builder.call(join, [thread, null])

        self._others(builder, count, start)
        builder.call(worker, [job])
        self._others(builder, count, wait)
        builder.call(unlock, [self.mutex])

    def _others(self, builder: ir.IRBuilder, count: Value, body) -> None:
        """Calls `body` for 1, 2, ... below count."""
        before, function = builder.block, builder.function
        check, inside, outside = (function.append_basic_block(n) for n in ("check", "other", "all"))
        builder.branch(check)
        builder.position_at_end(check)
        index = builder.phi(INT64)
        index.add_incoming(int64(1), before)
        builder.cbranch(builder.icmp_signed("<", index, count), inside, outside)
        builder.position_at_end(inside)
        body(index)
        index.add_incoming(builder.add(index, int64(1)), builder.block)
        builder.branch(check)
        builder.position_at_end(outside)

    def _at(self, builder: ir.IRBuilder, pointer: Value, offset: int) -> Value:
        return builder.gep(pointer, [int64(offset)], source_etype=ir.IntType(8))

    def _pointer(self, builder: ir.IRBuilder, pointer: Value, offset: int) -> Value:
        return builder.load(self._at(builder, pointer, offset), align=8, typ=POINTER)

    def _field(self, builder: ir.IRBuilder, pointer: Value, field: int) -> Value:
        return builder.load(self._at(builder, pointer, 8 * field), align=8, typ=INT64)

    def _count(self, builder: ir.IRBuilder, job: Value, field: int) -> Value:
        place = self._at(builder, job, 8 * field)
        return builder.atomic_rmw("add", place, int64(1), "acq_rel")
