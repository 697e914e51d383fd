"""The block function of a shape: all its layers, one after the other, on its arena.

    play(arena, x, y, count, stride)

plays `count` samples of x [inputs, .] into y [outputs, .], whose rows are `stride` numbers apart.
Numbers that are too small for float32's full precision are taken as 0 meanwhile, which the
processor's mode says and is set back after it: they would take a hundred times as long.
"""

from llvmlite import ir

from wf_jax.amps.native.layers import conv_function, layer_function
from wf_jax.amps.native.plan import BLOCK
from wf_jax.amps.native.steps import Buffer, LayerStep, Plan
from wf_jax.native.emit import INT64, POINTER, Emitter, Value, int64
from wf_jax.native.mode import flush_to_zero, restore_mode
from wf_jax.native.target import Target

NAME = "wf_jax_play"
ARGUMENTS = ("arena*", "x*", "y*", "count", "stride")


def module_of(plan: Plan, target: Target) -> ir.Module:
    """All functions of a shape; the one to call is NAME."""
    module = ir.Module("wf_jax")
    module.triple = target.triple
    mirror = _mirror_function(module, target)
    functions = {}
    for step in plan.steps:
        if step.kind not in functions:
            layer = isinstance(step, LayerStep)
            name = f"{'layer' if layer else 'conv'}_{len(functions)}"
            write = layer_function if layer else conv_function
            functions[step.kind] = write(module, target, step.kind, name)
    body = _Body(module, target, plan, functions, mirror).write()
    for function in module.functions:
        if not function.is_declaration:
            function.linkage = "internal"
    _entry(module, target, body)
    return module


class _Body:
    """The loop over pieces of BLOCK samples, and the steps in it."""

    def __init__(
        self,
        module: ir.Module,
        target: Target,
        plan: Plan,
        functions: dict,
        mirror: ir.Function,
    ):
        self.plan, self.target = plan, target
        self.functions, self.mirror = functions, mirror
        self.emit = Emitter(module, target, "play", ARGUMENTS)
        self.copy = module.declare_intrinsic("llvm.memcpy", [POINTER, POINTER, INT64])

    def write(self) -> ir.Function:
        emit, builder = self.emit, self.emit.builder
        header = emit.at(emit.arguments["arena"], self.plan.header)
        start = builder.load(header, typ=INT64, align=8)
        whole = emit.arguments["count"]
        with emit.only_if(builder.icmp_signed(">", whole, int64(0))):
            emit.loop(whole, BLOCK, [], lambda done, _: self._piece(start, done))
            builder.store(builder.add(start, whole), header, align=8)
        builder.ret_void()
        return emit.function

    def _piece(self, start: Value, done: Value) -> list[Value]:
        emit, builder, a, plan = self.emit, self.emit.builder, self.emit.arguments, self.plan
        self.position = builder.add(start, done)
        left = builder.sub(a["count"], done)
        short = builder.icmp_signed("<", left, int64(BLOCK))
        samples = builder.select(short, left, int64(BLOCK))
        unit = self.target.unit
        self.count = builder.and_(builder.add(samples, int64(unit - 1)), int64(-unit))
        here, row = self._now(plan.audio), builder.mul(samples, int64(4))
        for i in range(plan.inputs):
            there = builder.add(builder.mul(a["stride"], int64(i)), done)
            self._copy(emit.at(here, i * plan.audio.stride), emit.at(a["x"], there), row)
        self._mirror(plan.audio)
        mirrored = {plan.audio}
        for step in plan.steps:
            if step.source not in mirrored:  # it is complete now, whoever wrote it
                self._mirror(step.source)
                mirrored.add(step.source)
            self._step(step)
        for i in range(plan.outputs):
            there = builder.add(builder.mul(a["stride"], int64(i)), done)
            here = emit.at(self._base(plan.output), i * plan.output.stride)
            self._copy(emit.at(a["y"], there), here, row)
        return []

    def _step(self, step) -> None:
        emit = self.emit
        source = step.source
        arguments = [self._base(source), int64(source.span - 1 if source.span else 0)]
        arguments += [int64(source.stride), int64(step.dilation)]
        # A layer that ends has no output; a pointer that nothing is written to stands for it.
        out = step.out or self.plan.output
        arguments += [self._now(out), int64(out.stride)]
        if isinstance(step, LayerStep):
            arguments += [self._now(step.head), int64(step.head.stride)]
            arguments += [self._now(self.plan.audio), int64(self.plan.audio.stride)]
        arguments.append(emit.at(emit.arguments["arena"], step.weights))
        if isinstance(step, LayerStep):
            arguments.append(emit.at(emit.arguments["arena"], self.plan.scratch))
        emit.call(self.functions[step.kind], *arguments, self.position, self.count)

    def _base(self, buffer: Buffer) -> Value:
        return self.emit.at(self.emit.arguments["arena"], buffer.offset)

    def _now(self, buffer: Buffer) -> Value:
        """The address of the current piece in a buffer."""
        if not buffer.span:
            return self._base(buffer)
        return self.emit.at(
            self._base(buffer), self.emit.builder.and_(self.position, int64(buffer.span - 1))
        )

    def _mirror(self, buffer: Buffer) -> None:
        if buffer.span:
            numbers = (buffer.rows, buffer.stride, buffer.span)
            arguments = [*map(int64, numbers), self.position, self.count]
            self.emit.call(self.mirror, self._base(buffer), *arguments)

    def _copy(self, target: Value, source: Value, size: Value) -> None:
        self.emit.builder.call(self.copy, [target, source, size, ir.Constant(ir.IntType(1), 0)])


def _mirror_function(module: ir.Module, target: Target) -> ir.Function:
    """Makes the beginning of a ring and what is behind its end equal where a block was written."""
    names = ("ring*", "rows", "stride", "span", "position", "count")
    emit = Emitter(module, target, "mirror", names)
    builder, a = emit.builder, emit.arguments
    start = builder.and_(a["position"], builder.sub(a["span"], int64(1)))
    over = builder.sub(builder.add(start, a["count"]), a["span"])

    def copy(source: Value, to: Value, count: Value) -> None:
        def row(_: Value, values: list[Value]) -> list[Value]:
            (ring,) = values
            here, there = emit.at(ring, source), emit.at(ring, to)

            def vector(t: Value, _: list[Value]) -> list[Value]:
                emit.store(emit.load(here, t), there, t)
                return []

            emit.loop(count, emit.lanes, [], vector)
            return [emit.at(ring, a["stride"])]

        emit.loop(a["rows"], 1, [a["ring"]], row)

    with emit.only_if(builder.icmp_signed("<", start, int64(BLOCK))):
        copy(start, builder.add(start, a["span"]), a["count"])
    with emit.only_if(builder.icmp_signed(">", over, int64(0))):
        copy(a["span"], int64(0), over)
    builder.ret_void()
    return emit.function


def _entry(module: ir.Module, target: Target, body: ir.Function) -> None:
    """The function to call: sets the mode, plays, and sets it back."""
    emit = Emitter(module, target, NAME, ARGUMENTS)
    before = flush_to_zero(module, emit.builder, target)
    emit.call(body, *emit.function.args)
    restore_mode(module, emit.builder, target, before)
    emit.builder.ret_void()
