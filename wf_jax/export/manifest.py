"""manifest.json of a release: the signatures of its functions, and the digest of every file.

Nothing here needs more than the standard library: a release is checked before JAX is asked for
anything.
"""

import contextlib
import dataclasses
import datetime
import hashlib
import json
import math
import re
import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wf_jax.bounded_files import read_bounded
from wf_jax.errors import UserError
from wf_jax.json_values import from_json
from wf_jax.old_names import current_names
from wf_jax.whole_files import temporary_folder

FORMAT = "wf_jax.release/1"
MANIFEST, CONFIG, PARAMS, CARD, EXAMPLE = (
    "manifest.json",
    "config.json",
    "params.npz",
    "README.md",
    "example.wav",
)
PLATFORMS = ("cpu", "cuda", "tpu", "rocm")
OPTIONS = {"xla_cpu_prefer_vector_width"}
NAM = "model.nam"  # an amp's model as it was given: what it is rebuilt from
SUFFIX = ".jaxexp"  # of the functions
FILES = (MANIFEST, CONFIG, PARAMS, NAM, CARD, EXAMPLE, f"*{SUFFIX}")  # all that there may be
# JAX reads what it serialized for so long; see its documentation, "Compatibility guarantees".
LIFETIME = datetime.timedelta(days=180)
LARGEST_MANIFEST = 1 << 22  # bytes; that of a WaveGlow has 100 KiB
LOOKS = 20  # at a folder in which a release takes the place of another
CERTAIN = 3  # looks in a row at the same list, after which a file is damaged
LARGEST_RELEASE = 1 << 30  # bytes, of all files together; NVIDIA's WaveGlow has 350 MB
# Of the sizes that a caller fills arrays up to: samples of an amp, mel frames of a vocoder.
_MOST = {"chunk": 1 << 20, "input_channels": 1 << 12, "hop": 1 << 15, "bands": 512}
_MOST_VALUES = 1 << 26  # of a shortest array
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_COPY_AGAIN = "copy the release again"


@dataclasses.dataclass(frozen=True)
class Value:
    """An array that goes into a function or comes out of it.

    Attributes:
        shape: sizes with commas between, as in "b, 80, f"; "" of a single number.
        dtype: NumPy's name.
        meaning: what it holds, with its unit.
    """

    shape: str
    dtype: str
    meaning: str

    def sizes(self, symbols: Mapping[str, int] | None = None) -> tuple[int, ...]:
        """Evaluates the shape: "b, 256*f" is (2, 2560) for {"b": 2, "f": 10}.

        Raises:
            KeyError: a symbol has no number.
        """
        return tuple(
            math.prod(int(p) if p.isdigit() else (symbols or {})[p] for p in part.split("*"))
            for part in self.shape.replace(" ", "").split(",")
            if part
        )


@dataclasses.dataclass(frozen=True)
class Signature:
    """A function of a release: the file it is in, and its inputs and outputs in their order.

    Called with the arrays of params.npz, by name, before the inputs.
    """

    file: str
    inputs: dict[str, Value]
    outputs: dict[str, Value]


@dataclasses.dataclass(frozen=True)
class FileEntry:
    """A file of the release as it was written."""

    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class VocoderFacts:
    """The facts that a caller of a vocoder needs.

    Attributes:
        sample_rate: Hz.
        hop: samples of a mel frame.
        bands: of the mel.
        smallest_frames: least length in frames that the functions take: shorter clips are filled.
        context_frames: on both sides of a piece of a clip that is synthesized in pieces; None: a
            clip is synthesized in one.
        cut_frames: pieces begin, and arrays end, at multiples of it.
        mel: how the mel is made: the fields of wf_jax.audio.mel.MelSettings.
    """

    sample_rate: int
    hop: int
    bands: int
    smallest_frames: int
    context_frames: int | None
    cut_frames: int
    mel: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class AmpFacts:
    """The facts that a caller of an amp needs.

    Attributes:
        sample_rate: Hz, or None where the .nam file does not say.
        input_channels: 1 for mono.
        output_channels: 1 for mono.
        chunk: `render` takes multiples of so many samples.
        blocks: sizes that there is a `step` for, in samples.
        receptive_field: samples that an output depends on; 1 where the state carries the past.
        size: of a model that has several, 0 smallest to 1 largest.
        a2_pass: whether the functions are the pass that is written for A2 models on CPUs.
        compiler_options: for XLA; only those of OPTIONS, for others write files.
    """

    sample_rate: float | None
    input_channels: int
    output_channels: int
    chunk: int
    blocks: tuple[int, ...]
    receptive_field: int
    size: float
    a2_pass: bool
    compiler_options: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The contents of manifest.json.

    Attributes:
        format: FORMAT.
        name: of the model, for people.
        license: of the model, as hubs write it; "" where nobody said.
        model: the architecture in words.
        created: date, UTC.
        expires: date from which on the artifacts are not used any more.
        jax_version: that the artifacts were made with; older ones do not use them.
        wf_jax_version: that the release was made with.
        platforms: that the artifacts were lowered for.
        dtype: of the products: "float32" or "bfloat16". What goes in and out is float32.
        vocoder: set of a vocoder.
        amp: set of an amp.
        functions: by name.
        params: shape and type of the arrays in params.npz.
        metrics: of the training, as far as it is known.
        example: what example.wav is, in words.
        error: greatest difference between each function and the model, as tried when written.
        files: of the release, but for this one.
    """

    format: str
    name: str
    license: str
    model: str
    created: str
    expires: str
    jax_version: str
    wf_jax_version: str
    platforms: tuple[str, ...]
    dtype: str
    vocoder: VocoderFacts | None
    amp: AmpFacts | None
    functions: dict[str, Signature]
    params: dict[str, Value]
    metrics: dict[str, Any]
    example: str
    error: dict[str, float]
    files: dict[str, FileEntry]

    def __post_init__(self) -> None:
        """Raises ValueError where fields contradict each other."""
        if (self.vocoder is None) == (self.amp is None):
            raise ValueError("vocoder or amp must be set, and one of them only")
        datetime.date.fromisoformat(self.expires)
        if self.amp:
            needed = ["init_state", "render", *(f"step_{size}" for size in self.amp.blocks)]
            least = {"chunk": self.amp.chunk, "input_channels": self.amp.input_channels}
            strange = self.amp.compiler_options.keys() - OPTIONS
            if strange:
                raise ValueError(f"compiler_options: {min(strange)!r} is not allowed")
        else:
            needed, facts = ["mel", "synthesize", "log_prob"], self.vocoder
            least = {name: getattr(facts, name) for name in ("hop", "bands", "cut_frames")}
            frames = max(facts.cut_frames, facts.smallest_frames, facts.context_frames or 0)
            if frames * max(facts.hop, facts.bands) > _MOST_VALUES:
                raise ValueError(f"vocoder: {frames} frames of hop {facts.hop} are too many")
        for name in needed:
            if name not in self.functions:
                raise ValueError(f"functions: {name} is missing")
        for name, value in least.items():
            if value < 1:
                raise ValueError(f"{name} {value} is below 1")
            if value > _MOST.get(name, value):
                raise ValueError(f"{name} {value} is above {_MOST[name]:,}")
        for name in self.files:
            if not _NAME.fullmatch(name):
                raise ValueError(f"files: {name!r} is no plain file name")
        total = sum(entry.bytes for entry in self.files.values())
        if total > LARGEST_RELEASE or any(entry.bytes < 0 for entry in self.files.values()):
            raise ValueError(f"files: {total:,} bytes, but {LARGEST_RELEASE:,} are the most")

    def dumps(self) -> bytes:
        """Returns the text of the file."""
        return (json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False) + "\n").encode()


def replaceable(folder: Path) -> Manifest | None:
    """Reads the release that a new one would replace; None where there is nothing.

    Raises:
        UserError: there is something else, or a damaged one.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    if not (folder / MANIFEST).is_file():
        raise UserError(f"{folder}: is there and is no release; name another --output")
    return read_manifest(folder)


def read_manifest(folder: Path, sha256: str | None = None) -> Manifest:
    """Reads and checks manifest.json.

    Args:
        folder: of the release: a pathlib.Path, or what has the same methods.
        sha256: that the file must have, if given.

    Raises:
        UserError: it is missing, damaged, of another format, or not the one that `sha256` names.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        remote = ", and those of a bucket as an epath.Path" if ":/" in str(folder) else ""
        named = f"name one that `wf-jax export` wrote{remote}"
        raise UserError(f"{folder}: no such folder; {named}")
    data = _read(path, "name a folder that `wf-jax export` wrote", LARGEST_MANIFEST)
    if sha256 is not None and digest(data) != sha256.lower():
        raise UserError(f"{path}: its SHA-256 is {digest(data)}, not {sha256}; {_COPY_AGAIN}")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged JSON ({error}); {_COPY_AGAIN}") from None
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise UserError(
            f"{path}: format {reprlib.repr(found)} is not {FORMAT}; update wf_jax, or export it"
        )
    try:
        return from_json(Manifest, current_names(content))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: {error}; {_COPY_AGAIN}") from None


def read_files(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """Reads every file that the manifest lists, and checks each against its digest.

    README.md is for people, who may change it: it is not read.

    Raises:
        UserError: one is missing, or has other content.
    """
    needed = [CONFIG, PARAMS, *(function.file for function in manifest.functions.values())]
    for name in [*needed, NAM] if manifest.amp else needed:
        if name not in manifest.files:
            raise UserError(f"{folder / MANIFEST}: {name} is not listed; {_COPY_AGAIN}")
    files = {}
    for name, entry in manifest.files.items():
        if name == CARD:
            continue
        path = folder / name
        data = _read(path, _COPY_AGAIN, entry.bytes)
        if len(data) != entry.bytes:
            raise UserError(
                f"{path}: {len(data):,} bytes, but {MANIFEST} says {entry.bytes:,}; {_COPY_AGAIN}"
            )
        if digest(data) != entry.sha256:
            raise UserError(
                f"{path}: not the file that {MANIFEST} lists (its SHA-256 differs); {_COPY_AGAIN}"
            )
        files[name] = data
    return files


def read_release(folder: Path, sha256: str | None = None) -> tuple[Manifest, dict[str, bytes]]:
    """Reads the manifest of a release, and every file that it lists.

    A release that takes the place of another meanwhile is read in its place.

    Raises:
        UserError: as `read_manifest` and `read_files`.
    """
    failed = []
    for _ in range(LOOKS):
        manifest = read_manifest(folder, sha256)
        try:
            return manifest, read_files(folder, manifest)
        except UserError:
            failed.append(manifest.files)
            if failed[-CERTAIN:] == [manifest.files] * CERTAIN:
                raise
    raise UserError(f"{folder}: is replaced again and again; copy it, and load the copy")


def shape_text(shape: tuple[int, ...]) -> str:
    """Formats a shape as manifests write it."""
    return ", ".join(map(str, shape))


def digest(data: bytes) -> str:
    """Returns the SHA-256 digest as manifests write it."""
    return hashlib.sha256(data).hexdigest()


def _read(path: Path, remedy: str, most: int) -> bytes:
    try:
        return read_bounded(path, most)
    except FileNotFoundError:
        raise UserError(f"{path}: missing; {remedy}") from None
    except OSError as error:
        said = error.strerror or error
        raise UserError(f"{path}: cannot be read: {said}; change its permissions") from None
    except UserError as error:
        raise UserError(f"{path}: {error}; {_COPY_AGAIN}") from None


@contextlib.contextmanager
def copied(files: Mapping[str, bytes]) -> Iterator[Path]:
    """Copies the checked files to a folder that later changes of the release do not touch."""
    with temporary_folder() as folder:
        for name, data in files.items():
            (folder / name).write_bytes(data)
        yield folder
