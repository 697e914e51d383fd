"""Compiles a shape's block function for this processor, and keeps the object for later processes.

An object is found by all that its code depends on: the shape, this package's source, LLVM's version
and the processor. It stands behind its own digest; a damaged one is compiled anew.
"""

import contextlib
import ctypes
import dataclasses
import hashlib
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

import llvmlite.binding as llvm

from wf_jax.amps.native.plan import plan_of
from wf_jax.amps.native.program import NAME, module_of
from wf_jax.amps.native.steps import Plan
from wf_jax.amps.native.target import Target, arm, x86
from wf_jax.amps.wavenet_config import WaveNetConfig
from wf_jax.programs_folder import programs_folder
from wf_jax.whole_files import write_whole

DIGEST = hashlib.sha256
SIZE = DIGEST().digest_size  # of a digest, in bytes
_lock = threading.Lock()  # two players of one shape compile it once

# play(arena, x, y, count, stride), see program.py; runs without the interpreter's lock.
_KIND = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, *[ctypes.c_int64] * 2)


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled shape.

    Attributes:
        plan: its arena.
        target: what it was compiled for.
        play: (arena, x, y, count, stride), the first three addresses.
    """

    plan: Plan
    target: Target
    play: Callable[[int, int, int, int, int], None]


def program_of(shape: WaveNetConfig) -> Program:
    """The program of a shape: of this process, of an earlier one, or compiled now."""
    with _lock:
        return _program(shape)


@cache
def _program(shape: WaveNetConfig) -> Program:
    target = host()
    found = _object(shape, target)
    # The engine owns the code, and lives as long as the process: so does this cache.
    engine = load(found, machine_of(target))
    play = _KIND(engine.get_function_address(NAME))
    play.engine = engine
    return Program(plan_of(shape, target), target, play)


@cache
def host() -> Target:
    """This machine's processor."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    triple, cpu = llvm.get_process_triple(), llvm.get_host_cpu_name()
    features = llvm.get_host_cpu_features().flatten()
    return (arm if _is_arm(triple) else x86)(triple, cpu, features)


def machine_of(target: Target) -> llvm.TargetMachine:
    """The compiler for a processor."""
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=3, reloc="pic", codemodel="jitdefault"
    )


def load(data: bytes, machine: llvm.TargetMachine) -> llvm.ExecutionEngine:
    """Makes an object's functions callable, as long as what is returned exists."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(data))
    engine.finalize_object()
    return engine


def assembly_of(shape: WaveNetConfig, target: Target) -> str:
    """The code of a shape, for people to read."""
    machine = machine_of(target)
    return machine.emit_assembly(_module(shape, target, machine))


def _object(shape: WaveNetConfig, target: Target) -> bytes:
    path = _path(shape, target)
    with contextlib.suppress(OSError):  # there is none yet
        data = path.read_bytes() if path else b""
        if len(data) > SIZE and DIGEST(data[SIZE:]).digest() == data[:SIZE]:
            path.touch()  # it was used: old ones are deleted
            return data[SIZE:]
    machine = machine_of(target)
    made = machine.emit_object(_module(shape, target, machine))
    with contextlib.suppress(OSError):  # no room, or not ours: it is compiled again next time
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, lambda file: file.write(DIGEST(made).digest() + made))
    return made


def _path(shape: WaveNetConfig, target: Target) -> Path | None:
    folder = programs_folder()
    if folder is None:
        return None
    key = repr((shape, target, llvm.llvm_version_info, _source()))
    return folder / f"native-{DIGEST(key.encode()).hexdigest()[:40]}"


@cache
def _source() -> str:
    """The engine's version: a digest of its source."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return DIGEST(b"".join(file.read_bytes() for file in files)).hexdigest()


def _module(shape: WaveNetConfig, target: Target, machine: llvm.TargetMachine) -> llvm.ModuleRef:
    module = llvm.parse_assembly(str(module_of(plan_of(shape, target), target)))
    module.verify()
    module.data_layout = str(machine.target_data)
    # Level 2 compiles for a fifth longer and gives the same speed to 2 %.
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    # Vectors and loops are as they shall be.
    options.loop_vectorization = options.slp_vectorization = False
    options.loop_unrolling = options.loop_interleaving = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module


def _is_arm(triple: str) -> bool:
    return triple.startswith(("aarch64", "arm64"))
