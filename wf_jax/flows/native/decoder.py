"""Decodes clips of a model."""

import ctypes
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import jax
import jax.numpy as jnp
import llvmlite.binding as llvm
import numpy as np

from wf_jax.amps.native.engine import address, empty
from wf_jax.amps.native.objects import host, load, machine_of
from wf_jax.flows.native.gate import FILTER, GATE
from wf_jax.flows.native.layout import Layout, Shape
from wf_jax.flows.native.program import NAME, YIELD, module_of
from wf_jax.flows.native.tiles import Kernel
from wf_jax.flows.native.weights import FlowValues, LayerValues, packed
from wf_jax.flows.squeeze import composed
from wf_jax.flows.gated_net import _conditions

_KIND = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, *[ctypes.c_void_p] * 4)


def kernel_of(config, target) -> Kernel:
    rows = 6 if target.registers == 16 else 12
    return Kernel(config.channels, config.conditions, target.lanes, rows)


@cache
def program(kernel: Kernel):
    target = host()
    machine = machine_of(target)
    module = llvm.parse_assembly(str(module_of(target, kernel)))
    module.verify()
    module.data_layout = str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    options.loop_vectorization = options.slp_vectorization = False
    options.loop_unrolling = options.loop_interleaving = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    libc = ctypes.CDLL(None)
    llvm.add_symbol(YIELD, ctypes.cast(libc.sched_yield, ctypes.c_void_p).value)
    data = machine.emit_object(module)
    engine = load(data, machine)
    run = _KIND(engine.get_function_address(NAME))
    run.engine = engine
    return run


@jax.jit
def _folded(flows):
    def one(net):
        channels = net.start.bias.shape[-1]
        scaled = jnp.concatenate([jnp.full(channels, FILTER), jnp.full(channels, GATE)])
        end, end_bias = net.end.kernel[...], net.end.bias[...]
        layers = []
        for layer in net.layers:
            condition, condition_bias = _conditions([layer])
            out, bias = layer.out.weight, layer.out.bias[...]
            end_bias = end_bias + bias[-channels:] @ end
            layers.append((layer.conv.weight * scaled, condition * scaled, condition_bias * scaled,
                out[:, :-channels], bias[:-channels], out[:, -channels:] @ end))
        return layers, net.start.weight[0], net.start.bias[...], end_bias
    return jax.vmap(one)(flows)


def values(flows):
    layers, start, start_bias, end_bias = jax.device_get(_folded(flows))
    return [
        FlowValues([LayerValues(*(a[k] for a in layer)) for layer in layers], start[k], start_bias[k], end_bias[k])
        for k in range(len(start))
    ]


class Decoder:
    def __init__(self, model, threads=2):
        config = model.config
        self.config = config
        self.kernel = kernel_of(config, host())
        self.run = program(self.kernel)
        flows = values(model.flows)[::-1]
        weights, self.places = packed(flows, self.kernel)
        self.weights = empty(len(weights)); self.weights[:] = weights
        self.threads = threads
        self.scratch = [empty(sum(self.kernel.scratch.values())) for _ in range(threads)]
        orders = model._orders()
        current, rows = composed(orders), []
        for order in orders[::-1]:
            current = current[order]
            rows.append(tuple(int(i) for i in current))
        self.rows = tuple(rows)
        self.pool = ThreadPoolExecutor(threads)
        self.layouts = {}

    def decode(self, z, c, mask=None):
        """z [h, W], c [h, W, D]."""
        height, width = z.shape
        if width not in self.layouts:
            shape = Shape(self.rows, self.config.dilations, width, self.threads)
            layout = Layout(self.kernel, shape, self.places)
            self.layouts[width] = layout, empty(layout.size)
        layout, arena = self.layouts[width]
        n = height * layout.columns
        x = arena[layout.x:layout.x + n].reshape(height, -1)
        m = arena[layout.mask:layout.mask + n].reshape(height, -1)
        cc = arena[layout.c:layout.c + n * self.kernel.conditions].reshape(height, layout.columns, -1)
        x[:, :width] = z
        m[:, :width] = 1 if mask is None else mask
        cc[:, :width] = c
        counters = np.zeros(32, np.int64)
        def go(i):
            self.run(address(layout.phases), len(layout.phases), address(arena), address(self.weights), address(counters), address(self.scratch[i]))
        list(self.pool.map(go, range(self.threads)))
        return x[:, :width].copy()
