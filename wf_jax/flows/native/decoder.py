"""Decodes clips by the code of their model's shape."""

import ctypes
import sys
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np

from wf_jax.flows.native.kernel import Kernel, kernel_of
from wf_jax.flows.native.layout import Layout, Plan
from wf_jax.flows.native.program import RUN, YIELD, module_of
from wf_jax.flows.native.weights import packed
from wf_jax.flows.squeeze import composed
from wf_jax.flows.waveflow import WaveFlow
from wf_jax.native.machine_code import compiled, host, machine_of, optimized, source_of
from wf_jax.native.memory import address, empty
from wf_jax.platforms import available_cores

COLUMNS = 64  # for which another thread pays

# run(phases, count, arena, weights, counters, scratch), see program.py; without the interpreter's
# lock.
_KIND = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, *[ctypes.c_void_p] * 4)
_lock = threading.Lock()  # two decoders of one shape compile it once


class Decoder:
    """A model that is ready to decode; see `shapes.why_not` for those that can be."""

    def __init__(self, model: WaveFlow):
        """Compiles the model's shape, or finds it compiled."""
        config = model.config
        kernel = kernel_of(host(), config.channels, config.conditions)
        with _lock:
            self._run = _program(kernel)
        self._weights, places = packed(model.flows, kernel)
        orders, order = [], composed(model.orders())
        for turned in model.orders()[::-1]:
            order = order[turned]
            orders.append(tuple(order.tolist()))
        self._plan = Plan(kernel, tuple(orders), config.dilations, places[::-1])

    def decode(self, z: np.ndarray, c: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """Maps latent to audio as `WaveFlow.decode` does: float32 [B, h, W] and [B, h, W, D]."""
        x = np.zeros(z.shape, np.float32)
        for b in range(len(z)):
            # Columns without a sample count as padding: the clip ends before them.
            real = np.ones(z.shape[2]) if mask is None else mask[b].max(axis=0)
            width = int(np.flatnonzero(real)[-1]) + 1 if real.any() else 0
            if width:
                here = None if mask is None else mask[b, :, :width]
                x[b, :, :width] = self._clip(z[b, :, :width], c[b, :, :width], here)
        return x

    def _clip(self, z: np.ndarray, c: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        (height, width), kernel = z.shape, self._plan.kernel
        threads = min(available_cores(), 1 + width // COLUMNS)
        layout = Layout(self._plan, width, threads)
        arena, counters = empty(layout.size), empty(64).view(np.int64)

        def rows(offset: int, *numbers: int) -> np.ndarray:
            size = height * layout.columns * int(np.prod(numbers))
            view = arena[offset : offset + size].reshape(height, layout.columns, *numbers)
            return view[:, :width]

        x = rows(layout.x)
        x[...] = z
        rows(layout.mask)[...] = 1 if mask is None else mask
        rows(layout.condition, kernel.conditions)[...] = c
        scratch = [empty(sum(kernel.scratch.values())) for _ in range(threads)]
        shared = (arena, self._weights, counters)

        def work(i: int) -> None:
            places = map(address, (*shared, scratch[i]))
            self._run(address(layout.phases), len(layout.phases), *places)

        _together(threads, work)
        return x


def _together(count: int, work: Callable[[int], None]) -> None:
    """Calls `work` in so many threads, in none of them unless all of them have started."""
    ready = threading.Barrier(count)

    def one(i: int) -> None:
        try:
            ready.wait()
        except threading.BrokenBarrierError:
            return
        work(i)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    try:
        for thread in threads:
            thread.start()
    except BaseException:
        ready.abort()
        raise
    for thread in threads:
        thread.join()


@cache
def _program(kernel: Kernel) -> Callable[..., None]:
    llvm.add_symbol(YIELD, _yield())
    source = source_of(Path(__file__).parent)
    engine = compiled(kernel, kernel.target, source, lambda: module_of(kernel))
    run = _KIND(engine.get_function_address(RUN))
    run.engine = engine  # owns the code
    return run


def _yield() -> int:
    """The address of the system's function that lets another thread run."""
    if sys.platform == "win32":
        function = ctypes.WinDLL("kernel32").SwitchToThread
    else:
        function = ctypes.CDLL(None).sched_yield
    return ctypes.cast(function, ctypes.c_void_p).value


def assembly_of(kernel: Kernel) -> str:
    """The code of a shape, for people to read."""
    machine = machine_of(kernel.target)
    return machine.emit_assembly(optimized(str(module_of(kernel)), machine))
