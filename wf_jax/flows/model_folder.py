"""A model as a folder: its configuration in `config.json`, its arrays by name in `params.npz`."""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import reprlib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np

from wf_jax.array_files import ArrayArchive, ArrayFileError, open_npz, shown
from wf_jax.bounded_files import LARGEST_CONFIG, open_file, read_bounded
from wf_jax.errors import UserError
from wf_jax.flows.config import FlowConfig
from wf_jax.flows.family_configs import CONFIGS
from wf_jax.json_values import from_json
from wf_jax.old_names import current_names
from wf_jax.whole_files import write_whole

if TYPE_CHECKING:
    from wf_jax.flows.flow import Flow

_T = TypeVar("_T")
FILES = ("config.json", "params.npz")
LARGEST_PARAMS = 1 << 30  # bytes; NVIDIA's WaveGlow has 350 MB
_ROOM = 1 << 26  # bytes
LOOKS = 5  # at a folder in which a model takes the place of another
NEXT = "params.next.npz"  # the arrays of a model that is about to be there
FORMATS = {f"wf_jax.flows.{family}/1": family for family in CONFIGS}


def save_model(
    folder: str | Path, config: FlowConfig, params: Mapping[str, Any], *, half: bool = False
) -> None:
    """Writes a model that `load_model` reads.

    Args:
        folder: made if it is missing; a model in it is replaced.
        config: the model's configuration.
        params: the flat arrays of `wf_jax.modules.split`.
        half: write float16, for a file of half the size; `load_model` makes them float32 again.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = io.BytesIO()
    dtype = np.float16 if half else None
    np.savez(arrays, **{name: np.asarray(value, dtype) for name, value in params.items()})
    content = {
        "format": f"wf_jax.flows.{config.family}/1",
        "params_sha256": hashlib.sha256(arrays.getbuffer()).hexdigest(),
        "model": dataclasses.asdict(config),
    }

    # With config.json the new model takes the place of the old one; its arrays are there already.
    written = json.dumps(content, indent=2) + "\n"
    write_whole(folder / NEXT, lambda file: file.write(arrays.getbuffer()))
    try:
        write_whole(folder / "config.json", lambda file: file.write(written.encode()))
    except BaseException:
        (folder / NEXT).unlink()
        raise
    os.replace(folder / NEXT, folder / "params.npz")


def load_model(folder: str | Path) -> "Flow":
    """Reads what `save_model` wrote.

    Raises:
        UserError: a file is missing or damaged, or an array does not fit the configuration.
    """
    return _with_files(Path(folder), _load)


def check_model(folder: str | Path) -> FlowConfig:
    """Checks a model folder without loading JAX; the shapes of its arrays are not compared.

    Returns:
        The model's configuration.

    Raises:
        UserError: a file is missing or damaged.
    """
    return _with_files(Path(folder), _check)


def _with_files(folder: Path, use: Callable[[Path, BinaryIO, FlowConfig], _T]) -> _T:
    """Calls `use` with a model's file of arrays and the config that belongs to it."""
    for _ in range(LOOKS):
        content = _content(folder / "config.json")
        config = _config(folder / "config.json", content)
        found = _params(folder, content.get("params_sha256"))
        if found:
            path, file = found
            with file:
                return use(path, file, config)
    path = folder / "params.npz"
    raise UserError(f"{path}: not the file that config.json was written with; copy both")


def _params(folder: Path, sha256: Any) -> tuple[Path, BinaryIO] | None:
    """Opens the file of the arrays that config.json names; None while it is being replaced."""
    paths = [path for path in (folder / "params.npz", folder / NEXT) if path.is_file()]
    if not paths:
        raise UserError(
            f"{folder / 'params.npz'}: missing; give a folder that a training or convert wrote"
        )
    for path in paths:
        try:
            file = open_file(path)
        except FileNotFoundError:  # it has got its other name
            continue
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; change its permissions") from None
        if os.fstat(file.fileno()).st_size > LARGEST_PARAMS:
            file.close()
            raise UserError(
                f"{path}: larger than {LARGEST_PARAMS:,} bytes, the most that is read; give a "
                "smaller model"
            )
        if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
            return path, file
        file.close()
    return None


def _check(path: Path, file: BinaryIO, config: FlowConfig) -> FlowConfig:
    with _opened(path, file, config):
        return config


def _load(path: Path, file: BinaryIO, config: FlowConfig) -> "Flow":
    """Builds the model of the arrays in a file; checks their headers first."""
    import jax
    import jax.numpy as jnp

    from wf_jax.flows.families import new_flow
    from wf_jax.modules import split

    with _opened(path, file, config) as arrays:
        shapes = jax.eval_shape(lambda: new_flow(config, np.random.default_rng(0)))
        definition, expected = split(shapes)
        later = {k: v for k, v in config.later_arrays.items() if k not in arrays.headers}
        _check_headers(path, arrays, expected, later)
        params = arrays.read() | {k: np.full(expected[k].shape, v) for k, v in later.items()}
    whole = {name: jnp.asarray(value, expected[name].dtype) for name, value in params.items()}
    return definition(whole)


@contextlib.contextmanager
def _opened(path: Path, file: BinaryIO, config: FlowConfig) -> Iterator[ArrayArchive]:
    """Opens the archive of arrays; a damaged one is a UserError."""
    try:
        with open_npz(file, stored=True) as arrays:
            _check_size(path, arrays, config)
            yield arrays
    except (OSError, ArrayFileError) as error:
        raise UserError(f"{path}: damaged ({error}); convert or copy again") from None


def _check_size(path: Path, arrays: ArrayArchive, config: FlowConfig) -> None:
    """Refuses a config far larger than the arrays before its shapes are made: they take memory."""
    there = sum(header.bytes for header in arrays.headers.values())
    if config.least_bytes > there + _ROOM:  # below, the first array that differs is named
        raise UserError(
            f"{path}: arrays of {there:,} bytes, but config.json makes a model of "
            f"{config.least_bytes:,} or more; convert or copy again"
        )


def _check_headers(
    path: Path, arrays: ArrayArchive, expected: Mapping[str, Any], later: Collection[str]
) -> None:
    for name in sorted((set(arrays.headers) ^ set(expected)) - set(later)):
        state = "missing" if name in expected else "not part of this model"
        raise UserError(f"{path}: {shown(name)} is {state}; convert or copy again")
    for name, header in arrays.headers.items():
        if header.shape != expected[name].shape or header.dtype not in (
            expected[name].dtype,
            np.float16,
        ):
            raise UserError(
                f"{path}: {name} is {header.dtype} {header.shape}, but config.json makes it "
                f"{expected[name].dtype} {expected[name].shape}; convert or copy again"
            )


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_bounded(path, LARGEST_CONFIG).decode())
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror}; give a folder that a training or convert wrote"
        ) from None
    except UserError as error:
        raise UserError(f"{path}: {error}; convert or copy again") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged JSON ({error}); convert or copy again") from None
    found = content.get("format") if isinstance(content, dict) else None
    if not isinstance(found, str) or found not in FORMATS:
        raise UserError(
            f"{path}: format {reprlib.repr(found)} is none of {', '.join(FORMATS)}; convert the "
            "model again"
        )
    return content


def _config(path: Path, content: dict[str, Any]) -> FlowConfig:
    try:
        return from_json(CONFIGS[FORMATS[content["format"]]], current_names(content).get("model"))
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {error}; convert or copy the model again") from None
