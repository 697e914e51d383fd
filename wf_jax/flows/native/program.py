"""The code of a shape: threads that go through a list of phases together.

    run(phases, count, arena, weights, counters, scratch)

A phase is a row of int64, see Phase: so many tasks of one kind, which threads claim one by one; the
next begins when all are done.
"""

from enum import IntEnum

from llvmlite import ir

from wf_jax.amps.native.emit import FLOAT, INT32, INT64, POINTER, VOID, Emitter, Value, int64
from wf_jax.amps.native.target import Target
from wf_jax.flows.native.gate import LOG2_E, power_of_two
from wf_jax.flows.native.tiles import Kernel, tile_function

NAME, YIELD = "wf_jax_run", "wf_jax_yield"
SPINS = 1 << 10  # looks at a counter before the processor is offered to others
LARGEST = 87.0  # log scales, in either direction: exp stays finite


class Kind(IntEnum):
    """The kinds of tasks."""

    BEGIN = 0  # a flow: the first row of its first layer
    FIRST = 1  # a layer at the first row of a pair
    SECOND = 2  # at the second
    FINISH = 3  # a row of the flow: audio from latent


FIELDS = (
    "kind",
    "tasks",
    "tickets",  # of all phases before
    "arrivals",  # that end this phase
    "above2",
    "above1",
    "row",
    "begun",
    "condition",
    "next",
    "end",
    "weights",
    "dilation",
    "groups",
    "width",
    "last",
    "units",
    "mask",
)

RUN = ("phases*", "count", "arena*", "weights*", "counters*", "scratch*")


def module_of(target: Target, kernel: Kernel) -> ir.Module:
    """All functions; the one to call is NAME."""
    module = ir.Module("wf_jax_flows")
    module.triple = target.triple
    tasks = {
        Kind.FIRST: tile_function(module, target, kernel, "first", second=False),
        Kind.SECOND: tile_function(module, target, kernel, "second", second=True),
        Kind.BEGIN: _begin(module, target, kernel),
        Kind.FINISH: _finish(module, target, kernel),
    }
    for function in module.functions:
        if not function.is_declaration:
            function.linkage = "internal"
    _run(module, target, kernel, tasks)
    return module


def _columns_block(emit: Emitter, kernel: Kernel, x: Value, row: Value, weights: Value) -> None:
    """Writes the first layer's h of the columns x [lanes], zeros behind the last column."""
    builder, a = emit.builder, emit.arguments
    start = [emit.load(weights, v * kernel.lanes) for v in range(kernel.parts)]
    bias = [emit.load(weights, kernel.channels + v * kernel.lanes) for v in range(kernel.parts)]
    column = a["column"]
    for i in range(kernel.lanes):
        number = builder.shuffle_vector(x, ir.Constant(emit.vector, ir.Undefined), emit.integers(i))
        at = builder.add(column, int64(i))
        place = builder.mul(at, int64(kernel.channels))
        inside = builder.icmp_signed("<", at, a["width"])
        for v in range(kernel.parts):
            h = builder.select(inside, emit.fma(number, start[v], bias[v]), emit.constant(0.0))
            emit.store(h, row, builder.add(place, int64(v * kernel.lanes)))


def _begin(module: ir.Module, target: Target, kernel: Kernel) -> ir.Function:
    """The columns `column` to `column` + lanes of h from a row of x."""
    emit = Emitter(module, target, "begin", ("row*", "next*", "weights*", "column", "width"))
    a = emit.arguments
    _columns_block(emit, kernel, emit.load(a["row"], a["column"]), a["next"], a["weights"])
    emit.builder.ret_void()
    return emit.function


def _finish(module: ir.Module, target: Target, kernel: Kernel) -> ir.Function:
    """Sums the outputs, turns the latent into audio, and makes the next row's h of it.

    Weights: those of the start [2, C], the bias of the outputs [2].
    """
    names = ("row*", "next*", "end*", "mask*", "weights*", "column", "width")
    emit = Emitter(module, target, "finish", names)
    builder, a = emit.builder, emit.arguments
    kind = ir.FunctionType(FLOAT, [FLOAT, emit.vector])
    name = f"llvm.vector.reduce.fadd.v{emit.lanes}f32"
    reduce = module.globals.get(name) or ir.Function(module, kind, name)
    outputs = []
    for o in range(2):
        value = ir.Constant(emit.vector, ir.Undefined)
        for i in range(emit.lanes):
            index = builder.mul(builder.add(a["column"], int64(i)), int64(2 * emit.lanes))
            place = emit.at(emit.at(a["end"], index), o * emit.lanes)
            bias = builder.load(emit.at(a["weights"], 2 * kernel.channels + o), typ=FLOAT, align=4)
            total = builder.call(reduce, [bias, emit.load(place)], fastmath=("reassoc",))
            emit.store(emit.constant(0.0), place)
            value = builder.insert_element(value, total, ir.Constant(INT32, i))
        outputs.append(builder.fmul(value, emit.load(a["mask"], a["column"])))
    log_scale, shift = outputs
    argument = emit.maximum(emit.constant(-LARGEST), builder.fneg(log_scale))
    argument = emit.minimum(emit.constant(LARGEST), argument)
    power, p = power_of_two(emit, builder.fmul(argument, emit.constant(LOG2_E)))
    z = emit.load(a["row"], a["column"])
    x = builder.fmul(builder.fsub(z, shift), emit.fma(p, power, power))
    emit.store(x, a["row"], a["column"])
    _columns_block(emit, kernel, x, a["next"], a["weights"])
    builder.ret_void()
    return emit.function


def _run(module: ir.Module, target: Target, kernel: Kernel, tasks: dict) -> ir.Function:
    emit = Emitter(module, target, NAME, RUN)
    builder, a = emit.builder, emit.arguments

    def phase(number: Value, _: list[Value]) -> list[Value]:
        row = builder.gep(
            a["phases"], [builder.mul(number, int64(len(FIELDS)))], source_etype=INT64
        )
        field = {}
        for i, name in enumerate(FIELDS):
            place = builder.gep(row, [int64(i)], source_etype=INT64)
            field[name] = builder.load(place, align=8, typ=INT64)
        _claim(emit, kernel, field, tasks)
        _arrive(emit, field["arrivals"])
        return []

    emit.loop(a["count"], 1, [], phase)
    builder.ret_void()
    return emit.function


def _claim(emit: Emitter, kernel: Kernel, field: dict[str, Value], tasks: dict) -> None:
    """Does tasks of a phase until none is left."""
    builder, a, function = emit.builder, emit.arguments, emit.function
    claim, work, done = (function.append_basic_block(name) for name in ("claim", "work", "none"))
    builder.branch(claim)
    builder.position_at_end(claim)
    ticket = builder.atomic_rmw("add", a["counters"], int64(1), "acq_rel")
    task = builder.sub(ticket, field["tickets"])
    builder.cbranch(builder.icmp_signed("<", task, field["tasks"]), work, done)
    builder.position_at_end(work)

    def place(name: str) -> Value:
        return emit.at(a["weights" if name == "weights" else "arena"], field[name])

    # Tasks share units evenly: of a layer rows of a product, else vectors of columns.
    def unit(number: Value) -> Value:
        return builder.sdiv(builder.mul(field["units"], number), field["tasks"])

    start, stop = unit(task), unit(builder.add(task, int64(1)))
    count = builder.sub(stop, start)
    for kind, target in tasks.items():
        with emit.only_if(builder.icmp_signed("==", field["kind"], int64(kind))):
            if kind in (Kind.FIRST, Kind.SECOND):
                size = int64(kernel.rows)
                names = ("above2", "above1", "row", "begun", "condition", "next", "end", "weights")
                arguments = [place(name) for name in names]
                arguments += [a["scratch"], *(field[n] for n in ("dilation", "groups", "width"))]
                arguments += [builder.mul(start, size), builder.mul(count, size), field["last"]]
                emit.call(target, *arguments)
                continue
            names = ("row", "next", *(("end", "mask") if kind == Kind.FINISH else ()), "weights")
            arguments = [place(name) for name in names]

            def block(i: Value, _: list[Value], arguments=arguments, target=target) -> list[Value]:
                column = builder.mul(builder.add(start, i), int64(kernel.lanes))
                emit.call(target, *arguments, column, field["width"])
                return []

            with emit.only_if(builder.icmp_signed(">", count, int64(0))):
                emit.loop(count, 1, [], block)
    builder.branch(claim)
    builder.position_at_end(done)


def _arrive(emit: Emitter, arrivals: Value) -> None:
    """Waits until every thread has come here."""
    builder, a, function = emit.builder, emit.arguments, emit.function
    counter = builder.gep(a["counters"], [int64(16)], source_etype=INT64)  # on its own cache line
    builder.atomic_rmw("add", counter, int64(1), "acq_rel")
    look, spin, offer, after = (function.append_basic_block(n) for n in ("look", "spin", "offer", "after"))
    before = builder.block
    builder.branch(look)
    builder.position_at_end(look)
    spins = builder.phi(INT64)
    spins.add_incoming(int64(0), before)
    there = builder.load_atomic(counter, "acquire", 8, typ=INT64)
    builder.cbranch(builder.icmp_signed(">=", there, arrivals), after, spin)
    builder.position_at_end(spin)
    more = builder.add(spins, int64(1))
    spins.add_incoming(more, spin)
    builder.cbranch(builder.icmp_signed("<", more, int64(SPINS)), look, offer)
    builder.position_at_end(offer)
    _call_yield(emit)
    spins.add_incoming(int64(0), builder.block)
    builder.branch(look)
    builder.position_at_end(after)


def _call_yield(emit: Emitter) -> None:
    """Lets another thread of the machine run."""
    module = emit.module
    function = module.globals.get(YIELD) or ir.Function(module, ir.FunctionType(INT32, []), YIELD)
    emit.builder.call(function, [])
