"""Work on many items by several threads, each with an arena of its own.

A job says what is to be done: int64 numbers, of which the first three are the number of items, how
many of them belong to a capture, and the item that comes next; then come the addresses of arrays.
Threads take one item after the other, so the result does not depend on their number. A thread takes
an arena that no other one has; where all are taken, as by calls for other devices, the calling
thread waits for one, and the threads that it has started leave the work to it.
"""

import dataclasses
from collections.abc import Callable, Sequence

from llvmlite import ir

from wf_jax.native.emit import INT32, INT64, POINTER, Value, int64
from wf_jax.native.mode import flush_to_zero, restore_mode
from wf_jax.native.target import Target

MOST_THREADS = 256
# Numbers that who loads a module writes: of threads, then addresses of the arenas and of an int64
# for each that says whether it is taken.
THREADS, ARENAS, TAKEN = "wf_jax_threads", "wf_jax_arenas", "wf_jax_taken"
ITEMS, EACH, NEXT, ARRAYS = range(4)  # fields of a job
_PAUSE = 100  # microseconds between two looks for an arena


@dataclasses.dataclass(frozen=True)
class Operand:
    """An array of a call, float32.

    Attributes:
        size: numbers of an item.
        shared: whether all items of a capture share them: [N, size], else [N, B, size].
    """

    size: int
    shared: bool = False


def at(builder: ir.IRBuilder, pointer: Value, offset: int) -> Value:
    """The address so many bytes behind a pointer."""
    return builder.gep(pointer, [int64(offset)], source_etype=ir.IntType(8))


def field(builder: ir.IRBuilder, pointer: Value, index: int) -> Value:
    """The int64 number `index` behind a pointer."""
    return builder.load(at(builder, pointer, 8 * index), align=8, typ=INT64)


def known(module: ir.Module, name: str, result: ir.Type, *arguments: ir.Type) -> ir.Function:
    """A function of the module or of the system."""
    found = module.globals.get(name)
    return found or ir.Function(module, ir.FunctionType(result, arguments), name)


class Threads:
    """Writes the functions of threads."""

    def __init__(self, module: ir.Module, target: Target, arena: int):
        """Adds the module's numbers; `arena` is the size of one."""
        self.module, self.target, self.arena = module, target, arena
        self._threads, self._arenas, self._taken = map(self._number, (THREADS, ARENAS, TAKEN))

    def run(
        self, builder: ir.IRBuilder, job: Value, function: ir.Function, operands: Sequence[Operand]
    ) -> None:
        """Runs (arena*, operands*) for all items of a job, and waits for the end."""
        work = self._work(function, operands)
        thread = self._thread(work)
        handles = builder.alloca(INT64, MOST_THREADS)
        create = known(self.module, "pthread_create", INT32, *[POINTER] * 4)
        join = known(self.module, "pthread_join", INT32, INT64, POINTER)
        null = ir.Constant(POINTER, None)
        items, threads = field(builder, job, ITEMS), builder.load(self._threads, typ=INT64)
        count = builder.select(builder.icmp_signed("<", items, threads), items, threads)

        def start(index: Value) -> None:
            place = builder.gep(handles, [index], source_etype=INT64)
            failed = builder.call(create, [place, null, thread, job])
            with builder.if_then(builder.icmp_signed("!=", failed, ir.Constant(INT32, 0))):
                builder.store(int64(0), place)  # the others do its part

        def wait(index: Value) -> None:
            handle = builder.load(builder.gep(handles, [index], source_etype=INT64), typ=INT64)
            with builder.if_then(builder.icmp_signed("!=", handle, int64(0))):
                builder.call(join, [handle, null])

        _count(builder, 1, count, start)
        builder.call(work, [job, ir.Constant(INT64, 1)])
        _count(builder, 1, count, wait)

    def _thread(self, work: ir.Function) -> ir.Function:
        """(job) -> null: what a thread runs, if it finds an arena."""
        thread = self._private(f"{work.name}_thread", POINTER, POINTER)
        builder = ir.IRBuilder(thread.append_basic_block("entry"))
        builder.call(work, [thread.args[0], int64(0)])
        builder.ret(ir.Constant(POINTER, None))
        return thread

    def _work(self, function: ir.Function, operands: Sequence[Operand]) -> ir.Function:
        """(job, whether to wait for an arena): does items until none is left."""
        work = self._private(f"{function.name}_work", ir.VoidType(), POINTER, INT64)
        builder, (job, waits) = ir.IRBuilder(work.append_basic_block("entry")), work.args
        number = self._claimed(builder, waits)
        before = flush_to_zero(self.module, builder, self.target)
        start = builder.load(self._arenas, typ=INT64)
        start = builder.add(start, builder.mul(number, int64(4 * self.arena)))
        arena = builder.inttoptr(start, POINTER)
        items, each = field(builder, job, ITEMS), field(builder, job, EACH)
        take, inside, done = (work.append_basic_block(name) for name in ("take", "item", "done"))
        builder.branch(take)
        builder.position_at_end(take)
        item = builder.atomic_rmw("add", at(builder, job, 8 * NEXT), int64(1), "acq_rel")
        builder.cbranch(builder.icmp_signed("<", item, items), inside, done)
        builder.position_at_end(inside)
        arguments = [arena]
        for i, operand in enumerate(operands):
            row = builder.sdiv(item, each) if operand.shared else item
            place = builder.mul(row, int64(4 * operand.size))
            place = builder.add(field(builder, job, ARRAYS + i), place)
            arguments.append(builder.inttoptr(place, POINTER))
        builder.call(function, arguments)
        builder.branch(take)
        builder.position_at_end(done)
        restore_mode(self.module, builder, self.target, before)
        builder.atomic_rmw("xchg", self._flag(builder, number), int64(0), "acq_rel")
        builder.ret_void()
        return work

    def _claimed(self, builder: ir.IRBuilder, waits: Value) -> Value:
        """The number of an arena that is now taken; the function returns where none can be."""
        function, before = builder.function, builder.block
        names = ("look", "other", "none", "pause", "leave", "claimed")
        look, other, none, pause, leave, claimed = map(function.append_basic_block, names)
        builder.branch(look)
        builder.position_at_end(look)
        number = builder.phi(INT64)
        number.add_incoming(int64(0), before)
        was = builder.atomic_rmw("xchg", self._flag(builder, number), int64(1), "acq_rel")
        builder.cbranch(builder.icmp_signed("==", was, int64(0)), claimed, other)
        builder.position_at_end(other)
        following = builder.add(number, int64(1))
        number.add_incoming(following, other)
        threads = builder.load(self._threads, typ=INT64)
        builder.cbranch(builder.icmp_signed("<", following, threads), look, none)
        builder.position_at_end(none)
        builder.cbranch(builder.icmp_signed("!=", waits, int64(0)), pause, leave)
        builder.position_at_end(pause)
        usleep = known(self.module, "usleep", INT32, INT32)
        builder.call(usleep, [ir.Constant(INT32, _PAUSE)])
        number.add_incoming(int64(0), pause)
        builder.branch(look)
        builder.position_at_end(leave)
        builder.ret_void()
        builder.position_at_end(claimed)
        return number

    def _flag(self, builder: ir.IRBuilder, number: Value) -> Value:
        taken = builder.add(builder.load(self._taken, typ=INT64), builder.mul(number, int64(8)))
        return builder.inttoptr(taken, POINTER)

    def _number(self, name: str) -> ir.GlobalVariable:
        variable = ir.GlobalVariable(self.module, INT64, name)
        variable.initializer = int64(0)
        return variable

    def _private(self, name: str, result: ir.Type, *arguments: ir.Type) -> ir.Function:
        function = known(self.module, name, result, *arguments)
        function.linkage = "internal"
        return function


def _count(builder: ir.IRBuilder, first: int, count: Value, body: Callable[[Value], None]) -> None:
    """Calls `body` for first, first + 1, ... below count."""
    before, function = builder.block, builder.function
    check, inside, outside = (function.append_basic_block(n) for n in ("check", "inside", "end"))
    builder.branch(check)
    builder.position_at_end(check)
    index = builder.phi(INT64)
    index.add_incoming(int64(first), before)
    builder.cbranch(builder.icmp_signed("<", index, count), inside, outside)
    builder.position_at_end(inside)
    body(index)
    index.add_incoming(builder.add(index, int64(1)), builder.block)
    builder.branch(check)
    builder.position_at_end(outside)
