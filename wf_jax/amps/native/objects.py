"""Compiles a shape's block function for this processor."""

import ctypes
from collections.abc import Callable

import llvmlite.binding as llvm

from wf_jax.amps.native.plan import plan_of
from wf_jax.amps.native.program import NAME, module_of
from wf_jax.amps.native.target import Target, arm, x86
from wf_jax.amps.wavenet_config import WaveNetConfig


def host() -> Target:
    """This machine's processor."""
    triple, cpu = llvm.get_process_triple(), llvm.get_host_cpu_name()
    features = llvm.get_host_cpu_features().flatten()
    return (x86 if triple.startswith(("x86_64", "i686")) else arm)(triple, cpu, features)


def machine_of(target: Target) -> llvm.TargetMachine:
    found = llvm.Target.from_triple(target.triple)
    return found.create_target_machine(
        cpu=target.cpu, features=target.features, opt=3, reloc="pic", codemodel="jitdefault"
    )


def optimised(shape: WaveNetConfig, target: Target, machine: llvm.TargetMachine) -> llvm.ModuleRef:
    module = llvm.parse_assembly(str(module_of(plan_of(shape, target), target)))
    module.verify()
    module.data_layout = str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = False
    options.loop_unrolling = options.loop_interleaving = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module


def compile_object(shape, target) -> bytes:
    machine = machine_of(target)
    return machine.emit_object(optimised(shape, target, machine))
