"""Compiles code for this processor, and keeps the objects for later processes.

An object is found by all that its code depends on: its shape, the source that writes it, LLVM's
version and the processor. It stands behind its own digest; a damaged one is compiled anew.
"""

import contextlib
import hashlib
from collections.abc import Callable, Hashable
from functools import cache
from pathlib import Path

import llvmlite.binding as llvm
from llvmlite import ir

from wf_jax.native.target import Target, target_of
from wf_jax.programs_folder import programs_folder
from wf_jax.whole_files import write_whole

DIGEST = hashlib.sha256
SIZE = DIGEST().digest_size  # of a digest, in bytes


@cache
def host() -> Target:
    """This machine's processor."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    triple, cpu = llvm.get_process_triple(), llvm.get_host_cpu_name()
    features = llvm.get_host_cpu_features().flatten()
    return target_of(triple, cpu, features)


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


def optimized(text: str, machine: llvm.TargetMachine) -> llvm.ModuleRef:
    """Parses and optimizes LLVM IR."""
    module = llvm.parse_assembly(text)
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


def compiled(
    shape: Hashable, target: Target, source: str, module: Callable[[], ir.Module]
) -> llvm.ExecutionEngine:
    """Makes the functions of a shape callable: its object that is kept, or one made now.

    Args:
        shape: anything with an exact `repr`.
        target: the processor.
        source: of what writes the code, see `source_of`.
        module: writes it.

    Returns:
        The owner of the code, which goes with it.
    """
    machine = machine_of(target)
    data = kept_object(
        path_of(shape, target, source),
        lambda: machine.emit_object(optimized(str(module()), machine)),
    )
    return load(data, machine)


def kept_object(path: Path | None, make: Callable[[], bytes]) -> bytes:
    """Reads an object that is kept at `path`; makes and keeps it where there is none."""
    with contextlib.suppress(OSError):  # there is none yet
        data = path.read_bytes() if path else b""
        if len(data) > SIZE and DIGEST(data[SIZE:]).digest() == data[:SIZE]:
            path.touch()  # it was used: old ones are deleted
            return data[SIZE:]
    made = make()
    with contextlib.suppress(OSError):  # no room, or not ours: it is compiled again next time
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, lambda file: file.write(DIGEST(made).digest() + made))
    return made


def path_of(shape: Hashable, target: Target, source: str) -> Path | None:
    """The place of a shape's object; None where none is kept.

    Args:
        shape: anything with an exact `repr`.
        target: the processor.
        source: see `source_of`.
    """
    folder = programs_folder()
    if folder is None:
        return None
    key = repr((shape, target, llvm.llvm_version_info, source))
    return folder / f"native-{DIGEST(key.encode()).hexdigest()[:40]}"


@cache
def source_of(folder: Path) -> str:
    """The version of what writes code: a digest of a package's source and of this one's."""
    files = [path for each in (folder, Path(__file__).parent) for path in sorted(each.glob("*.py"))]
    return DIGEST(b"".join(file.read_bytes() for file in files)).hexdigest()
