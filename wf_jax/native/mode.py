"""The processor's mode in which numbers too small for float32's full precision are taken as 0.

They would take a hundred times as long.
"""

from llvmlite import ir

from wf_jax.native.emit import INT32, INT64, POINTER, VOID, Value, int64
from wf_jax.native.target import Target


def flush_to_zero(module: ir.Module, builder: ir.IRBuilder, target: Target) -> Value:
    """Sets the mode; returns the one before, for `restore_mode`."""
    if target.is_arm:
        get = _intrinsic(module, "llvm.aarch64.get.fpcr", INT64)
        before = builder.call(get, [])
        put = _intrinsic(module, "llvm.aarch64.set.fpcr", VOID, INT64)
        builder.call(put, [builder.or_(before, int64(1 << 24))])  # FZ
        return before
    get = _intrinsic(module, "llvm.x86.sse.stmxcsr", VOID, POINTER)
    put = _intrinsic(module, "llvm.x86.sse.ldmxcsr", VOID, POINTER)
    before, meanwhile = builder.alloca(INT32), builder.alloca(INT32)
    builder.call(get, [before])
    mode = builder.load(before, typ=INT32)
    builder.store(builder.or_(mode, ir.Constant(INT32, 0x8040)), meanwhile)  # FTZ, DAZ
    builder.call(put, [meanwhile])
    return before


def restore_mode(module: ir.Module, builder: ir.IRBuilder, target: Target, before: Value) -> None:
    """Sets the mode back."""
    if target.is_arm:
        put = _intrinsic(module, "llvm.aarch64.set.fpcr", VOID, INT64)
    else:
        put = _intrinsic(module, "llvm.x86.sse.ldmxcsr", VOID, POINTER)
    builder.call(put, [before])


def _intrinsic(module: ir.Module, name: str, result: ir.Type, *arguments: ir.Type) -> ir.Function:
    known = module.globals.get(name)
    return known or ir.Function(module, ir.FunctionType(result, arguments), name)
