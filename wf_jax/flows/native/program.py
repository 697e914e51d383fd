"""The code of a net's shape: threads go through phases together.

    run(phases, count, arena, weights, counters, scratch)

A phase is a row of int64, see FIELDS: so many tasks of one kind, which the threads claim one by
one. The next phase begins when all have come to its end. Numbers that say where something is are
offsets into the arena or, of weights, into those.
"""

from collections.abc import Callable
from enum import IntEnum

from llvmlite import ir

from wf_jax.flows.native.gate import LOG2_E, power_of_two
from wf_jax.flows.native.kernel import Kernel
from wf_jax.flows.native.tiles import ARGUMENTS, tile_function
from wf_jax.native.emit import FLOAT, INT32, INT64, Emitter, Value, int64

RUN = "wf_jax_decode"
YIELD = "wf_jax_yield"  # int(), given by who loads the code: lets another thread run
SPINS = 1 << 10  # looks at a counter before that
LARGEST = 87.0  # log scales, in either direction: exp of them is finite


class Kind(IntEnum):
    """The kinds of tasks."""

    BEGIN = 0  # a flow: the first layer's h of its first row
    FIRST = 1  # a layer, at the first row of a pair
    SECOND = 2  # the same at the second
    FINISH = 3  # a row: from latent to audio, and the first layer's h of it


_PLACES = ("above2", "above1", "row", "next", "begun", "condition", "end", "weights", "mask")
FIELDS = (
    "kind",
    "tasks",
    "units",  # that the tasks share evenly: rows of products, or vectors of columns
    "tickets",  # claims of all phases before
    "arrivals",  # of threads, after which the phase is over
    *_PLACES,
    "dilation",
    "groups",
    "width",
    "last",
)
_COUNTER = 16  # int64 numbers between the counters: each has a cache line and its neighbor

Fields = dict[str, Value]


def module_of(kernel: Kernel) -> ir.Module:
    """Writes all functions; the one to call is RUN."""
    module = ir.Module("wf_jax_flows")
    module.triple = kernel.target.triple
    tasks = {
        Kind.BEGIN: _begin(module, kernel),
        Kind.FIRST: tile_function(module, kernel, "first", second=False),
        Kind.SECOND: tile_function(module, kernel, "second", second=True),
        Kind.FINISH: _finish(module, kernel),
    }
    for function in module.functions:
        if not function.is_declaration:
            function.linkage = "internal"
    _run(module, kernel, tasks)
    return module


def _begin(module: ir.Module, kernel: Kernel) -> ir.Function:
    """Writes h of `lanes` columns from a row of audio."""
    emit = Emitter(module, kernel.target, "begin", ("row*", "next*", "weights*", "column", "width"))
    _start(emit, kernel, emit.load(emit.arguments["row"], emit.arguments["column"]))
    emit.builder.ret_void()
    return emit.function


def _finish(module: ir.Module, kernel: Kernel) -> ir.Function:
    """Sums the outputs of `lanes` columns, turns latent into audio, and writes h of it."""
    names = ("row*", "next*", "end*", "mask*", "weights*", "column", "width")
    emit = Emitter(module, kernel.target, "finish", names)
    builder, a = emit.builder, emit.arguments
    mask, (log_scale, shift) = emit.load(a["mask"], a["column"]), _outputs(emit, kernel)
    log_scale, shift = builder.fmul(log_scale, mask), builder.fmul(shift, mask)
    argument = emit.maximum(emit.constant(-LARGEST), builder.fneg(log_scale))
    argument = emit.minimum(emit.constant(LARGEST), argument)
    power, p = power_of_two(emit, builder.fmul(argument, emit.constant(LOG2_E)))
    z = emit.load(a["row"], a["column"])
    x = builder.fmul(builder.fsub(z, shift), emit.fma(p, power, power))
    emit.store(x, a["row"], a["column"])
    _start(emit, kernel, x)
    builder.ret_void()
    return emit.function


def _outputs(emit: Emitter, kernel: Kernel) -> list[Value]:
    """Sums the lanes of both outputs of `lanes` columns, and zeroes them for the next row."""
    builder, a, module = emit.builder, emit.arguments, emit.module
    name = f"llvm.vector.reduce.fadd.v{emit.lanes}f32"
    kind = ir.FunctionType(FLOAT, [FLOAT, emit.vector])
    reduce = module.globals.get(name) or ir.Function(module, kind, name)
    outputs = []
    for o in range(2):
        bias = builder.load(emit.at(a["weights"], 2 * kernel.channels + o), typ=FLOAT, align=4)
        output = ir.Constant(emit.vector, ir.Undefined)
        for i in range(emit.lanes):
            index = builder.mul(builder.add(a["column"], int64(i)), int64(2 * emit.lanes))
            place = emit.at(emit.at(a["end"], index), o * emit.lanes)
            total = builder.call(reduce, [bias, emit.load(place)], fastmath=("reassoc",))
            emit.store(emit.constant(0.0), place)
            output = builder.insert_element(output, total, ir.Constant(INT32, i))
        outputs.append(output)
    return outputs


def _start(emit: Emitter, kernel: Kernel, x: Value) -> None:
    """Writes the first layer's h of x [lanes], zeros behind the last column."""
    builder, a = emit.builder, emit.arguments
    places = [v * kernel.lanes for v in range(kernel.parts)]
    start = [emit.load(a["weights"], place) for place in places]
    bias = [emit.load(a["weights"], kernel.channels + place) for place in places]
    for i in range(kernel.lanes):
        number = builder.shuffle_vector(x, ir.Constant(emit.vector, ir.Undefined), emit.integers(i))
        column = builder.add(a["column"], int64(i))
        row = emit.at(a["next"], builder.mul(column, int64(kernel.channels)))
        inside = builder.icmp_signed("<", column, a["width"])
        for place, weight, added in zip(places, start, bias, strict=True):
            h = emit.fma(number, weight, added)
            emit.store(builder.select(inside, h, emit.constant(0.0)), row, place)


def _run(module: ir.Module, kernel: Kernel, tasks: dict[Kind, ir.Function]) -> None:
    names = ("phases*", "count", "arena*", "weights*", "counters*", "scratch*")
    emit = Emitter(module, kernel.target, RUN, names)
    builder, a = emit.builder, emit.arguments

    def phase(number: Value, _: list[Value]) -> list[Value]:
        fields = {}
        for i, name in enumerate(FIELDS):
            index = builder.add(builder.mul(number, int64(len(FIELDS))), int64(i))
            place = builder.gep(a["phases"], [index], source_etype=INT64)
            fields[name] = builder.load(place, align=8, typ=INT64)
        for name in _PLACES:
            fields[name] = emit.at(a["weights" if name == "weights" else "arena"], fields[name])
        fields["scratch"] = a["scratch"]
        _claim(emit, fields, lambda task: _task(emit, kernel, fields, tasks, task))
        _arrive(emit, fields["arrivals"])
        return []

    emit.loop(a["count"], 1, [], phase)
    builder.ret_void()


def _task(
    emit: Emitter, kernel: Kernel, fields: Fields, tasks: dict[Kind, ir.Function], task: Value
) -> None:
    """Does one task of a phase: its share of the units."""
    builder = emit.builder

    def share(number: Value) -> Value:
        return builder.sdiv(builder.mul(fields["units"], number), fields["tasks"])

    first, stop = share(task), share(builder.add(task, int64(1)))
    count = builder.sub(stop, first)  # no task is without units
    for kind, function in tasks.items():
        with emit.only_if(builder.icmp_signed("==", fields["kind"], int64(kind))):
            if kind in (Kind.FIRST, Kind.SECOND):
                size = int64(kernel.rows)
                own = {"start": builder.mul(first, size), "count": builder.mul(count, size)}
                names = [name.strip("*") for name in ARGUMENTS]
                emit.call(function, *((fields | own)[name] for name in names))
                continue
            own = [argument.name for argument in function.args]

            def block(i: Value, _: list[Value], own=own, function=function) -> list[Value]:
                column = builder.mul(builder.add(first, i), int64(kernel.lanes))
                emit.call(function, *((fields | {"column": column})[name] for name in own))
                return []

            emit.loop(count, 1, [], block)


def _claim(emit: Emitter, fields: Fields, do: Callable[[Value], None]) -> None:
    """Does tasks of a phase until all are claimed."""
    builder = emit.builder
    claim, work, done = (emit.function.append_basic_block(n) for n in ("claim", "work", "none"))
    builder.branch(claim)
    builder.position_at_end(claim)
    ticket = builder.atomic_rmw("add", emit.arguments["counters"], int64(1), "acq_rel")
    task = builder.sub(ticket, fields["tickets"])
    builder.cbranch(builder.icmp_signed("<", task, fields["tasks"]), work, done)
    builder.position_at_end(work)
    do(task)
    builder.branch(claim)
    builder.position_at_end(done)


def _arrive(emit: Emitter, arrivals: Value) -> None:
    """Waits until every thread has come here."""
    builder, module = emit.builder, emit.module
    names = ("look", "spin", "offer", "over")
    look, spin, offer, over = (emit.function.append_basic_block(name) for name in names)
    counter = builder.gep(emit.arguments["counters"], [int64(_COUNTER)], source_etype=INT64)
    builder.atomic_rmw("add", counter, int64(1), "acq_rel")
    before = builder.block
    builder.branch(look)
    builder.position_at_end(look)
    spins = builder.phi(INT64)
    spins.add_incoming(int64(0), before)
    there = builder.load_atomic(counter, "acquire", 8, typ=INT64)
    builder.cbranch(builder.icmp_signed(">=", there, arrivals), over, spin)
    builder.position_at_end(spin)
    more = builder.add(spins, int64(1))
    spins.add_incoming(more, spin)
    builder.cbranch(builder.icmp_signed("<", more, int64(SPINS)), look, offer)
    builder.position_at_end(offer)
    builder.call(ir.Function(module, ir.FunctionType(INT32, []), YIELD), [])
    spins.add_incoming(int64(0), offer)
    builder.branch(look)
    builder.position_at_end(over)
