"""The two passes of a shape over one window, and their functions that XLA calls.

    forward(arena, weights, x, y)          x [lookback + window] -> y [window]
    backward(arena, weights, x, dy, dw)    the same again, then the gradients of all weights

XLA's function of each takes the arrays of all captures and windows, see `wf_jax/native/calls.py`.
"""

from collections.abc import Hashable, Mapping

from llvmlite import ir

from wf_jax.amps.native.layers import conv_function, layer_function
from wf_jax.amps.native.steps import ConvKind, LayerKind
from wf_jax.amps.native.training.kernels import (
    BackwardConvKind,
    SlopeKind,
    backward_conv_function,
    slope_function,
)
from wf_jax.amps.native.training.plan import WindowPlan
from wf_jax.amps.native.training.products import ProductsKind, products_function
from wf_jax.amps.native.training.signals import Argument, Call, Gradient, Signal
from wf_jax.native.calls import write_calls
from wf_jax.native.emit import INT64, POINTER, Emitter, Value, int64
from wf_jax.native.target import Target
from wf_jax.native.threads import Operand

FORWARD, BACKWARD = "wf_jax_forward", "wf_jax_backward"
BLOCK = 512  # samples that go through all layers at once


def module_of(plan: WindowPlan, target: Target) -> ir.Module:
    """All functions of a plan; XLA's are FORWARD and BACKWARD."""
    module = ir.Module("wf_jax")
    module.triple = target.triple
    functions = {}
    for call in (*plan.playing, *plan.backward):
        if call.kind not in functions:
            functions[call.kind] = _function(module, target, call.kind, f"step_{len(functions)}")
    forward = _Pass(module, target, plan, functions, "forward", ("x*", "y*")).forward()
    backward = _Pass(module, target, plan, functions, "backward", ("x*", "dy*", "dw*")).backward()
    weights = Operand(len(plan.weights), shared=True)
    x, y = Operand(plan.lookback + plan.window), Operand(plan.window)
    gradients = Operand(plan.written)
    for function in module.functions:
        if not function.is_declaration:
            function.linkage = "internal"
    write_calls(
        module,
        target,
        plan.size,
        {FORWARD: (forward, [weights, x], y), BACKWARD: (backward, [weights, x, y], gradients)},
    )
    return module


def _function(module: ir.Module, target: Target, kind: Hashable, name: str) -> ir.Function:
    if isinstance(kind, LayerKind):
        return layer_function(module, target, kind, f"layer_{name}", keeps=True)
    if isinstance(kind, ConvKind):
        return conv_function(module, target, kind, f"conv_{name}")
    if isinstance(kind, SlopeKind):
        return slope_function(module, target, kind, f"slope_{name}")
    if isinstance(kind, BackwardConvKind):
        return backward_conv_function(module, target, kind, f"backward_conv_{name}")
    assert isinstance(kind, ProductsKind)
    return products_function(module, target, kind, f"products_{name}")


class _Pass:
    """Writes one pass as a function (arena, weights, more arguments)."""

    def __init__(
        self,
        module: ir.Module,
        target: Target,
        plan: WindowPlan,
        functions: Mapping[Hashable, ir.Function],
        name: str,
        arguments: tuple[str, ...],
    ):
        self.plan, self.functions = plan, functions
        self.emit = Emitter(module, target, name, ("arena*", "weights*", *arguments))
        self.copy = module.declare_intrinsic("llvm.memcpy", [POINTER, POINTER, INT64])
        self.set = module.declare_intrinsic("llvm.memset", [POINTER, INT64])

    def forward(self) -> ir.Function:
        """Window to output."""
        plan, emit, a = self.plan, self.emit, self.emit.arguments
        self._read(a["x"], plan.audio, plan.lookback + plan.window)
        self._forward(plan.playing)
        first = self._at(plan.output, int64(plan.length - plan.window))
        self._copy(a["y"], first, plan.window)
        emit.builder.ret_void()
        return emit.function

    def backward(self) -> ir.Function:
        """Window and gradient of the output to gradients of the weights."""
        plan, emit, a = self.plan, self.emit, self.emit.arguments
        self._read(a["x"], plan.audio, plan.lookback + plan.window)
        self._forward(plan.forward)
        self._read(a["dy"], plan.output_gradient, plan.window)
        for signal in plan.cleared:
            self._clear(emit.at(a["arena"], signal.offset), signal.rows * signal.stride)
        self._clear(a["dw"], plan.written)

        def block(back: Value, _: list[Value]) -> list[Value]:
            end = emit.builder.sub(int64(plan.length), back)
            self._calls(plan.backward, emit.builder.sub(end, int64(BLOCK)), end)
            return []

        emit.loop(int64(plan.length), BLOCK, [], block)
        emit.builder.ret_void()
        return emit.function

    def _forward(self, calls: tuple[Call, ...]) -> None:
        plan, builder = self.plan, self.emit.builder

        def block(start: Value, _: list[Value]) -> list[Value]:
            end = builder.add(start, int64(BLOCK))
            short = builder.icmp_signed("<", end, int64(plan.length))
            self._calls(calls, start, builder.select(short, end, int64(plan.length)))
            return []

        self.emit.loop(int64(plan.length), BLOCK, [], block)

    def _calls(self, calls: tuple[Call, ...], start: Value, end: Value) -> None:
        """Calls for the block from start to end."""
        emit, builder = self.emit, self.emit.builder
        for call in calls:
            begin = int64(call.begin)
            first = builder.select(builder.icmp_signed("<", start, begin), begin, start)
            count = builder.sub(end, first)
            with emit.only_if(builder.icmp_signed(">", count, int64(0))):
                arguments = [self._argument(each, first) for each in call.arguments]
                emit.call(self.functions[call.kind], *arguments, count)

    def _argument(self, argument: Argument, time: Value) -> Value:
        if isinstance(argument, int):
            return int64(argument)
        if isinstance(argument, Signal):
            return self._at(argument, time)
        a = self.emit.arguments
        base = a["dw"] if isinstance(argument, Gradient) else a["weights"]
        return self.emit.at(base, argument.offset)

    def _at(self, signal: Signal, time: Value) -> Value:
        index = self.emit.builder.add(int64(signal.base), time)
        return self.emit.at(self.emit.arguments["arena"], index)

    def _read(self, source: Value, signal: Signal, count: int) -> None:
        """Copies `count` samples to the end of a signal."""
        self._copy(self._at(signal, int64(self.plan.length - count)), source, count)

    def _copy(self, target: Value, source: Value, count: int) -> None:
        no = ir.Constant(ir.IntType(1), 0)
        self.emit.builder.call(self.copy, [target, source, int64(4 * count), no])

    def _clear(self, place: Value, count: int) -> None:
        zero, no = ir.Constant(ir.IntType(8), 0), ir.Constant(ir.IntType(1), 0)
        self.emit.builder.call(self.set, [place, zero, int64(4 * count), no])
