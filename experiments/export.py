"""Makes a release: a model as functions that run without its code.

    python -m experiments.export --model=WORKDIR --output=RELEASE
    python -m experiments.export --model=amp.nam --output=RELEASE --blocks=64,256
    python -m experiments.export --rebuild --output=RELEASE

The model is a training run, a folder of `experiments.convert`, or a .nam file. The release has its
arrays, one artifact per function for batches and clips of any size, a manifest with the digest of
every file, a README.md and an example; `wf_jax.export.load(RELEASE)` reads it. `--rebuild` makes
the artifacts of a release anew, which JAX promises to read for six months only.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from absl import app, flags

from experiments.releases.sources import check_source, find_source
from experiments.terminal.outputs import check_folder
from experiments.terminal.start import no_arguments, parse_flags, set_up
from wf_jax.errors import UserError, why
from wf_jax.export.manifest import PLATFORMS, read_files, read_manifest, replaceable

if TYPE_CHECKING:
    from experiments.releases.writing import ReleaseOptions

_MODEL = flags.DEFINE_string("model", None, "A training run, a model folder, or a .nam file")
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder of the release; one that is there is replaced"
)
_PLATFORMS = flags.DEFINE_list(
    "platforms", ["cpu", "cuda", "tpu"], f"Where it is to run: {', '.join(PLATFORMS)}"
)
_DTYPE = flags.DEFINE_enum(
    "dtype", None, ["float32", "bfloat16"], "Of a vocoder's products; the model's own if left out"
)
_BLOCKS = flags.DEFINE_list("blocks", ["64"], "Amps: sizes of the blocks that `step` takes")
_SLIM = flags.DEFINE_float(
    "slim", 1.0, "Amps: size of a model that has several, 0 smallest, 1 largest", 0.0, 1.0
)
_NAME = flags.DEFINE_string("name", None, "Of the model; the folder's or file's name if left out")
_LICENSE = flags.DEFINE_string("license", "", "Of the model, for its README: cc-by-4.0, mit, ...")
_EXAMPLE = flags.DEFINE_string(
    "example", None, "Recording to make example.wav of: speech to say again, or a DI to play"
)
_REBUILD = flags.DEFINE_bool("rebuild", False, "Make the artifacts of the release --output anew")


def main(argv: list[str]) -> None:
    """Makes or remakes one release; on failure --output stays as it was."""
    set_up()
    no_arguments(argv, "--output=DIR")
    if bool(_MODEL.value) == _REBUILD.value:
        sys.exit("give --model=..., or --rebuild to make the artifacts of --output anew")
    if _REBUILD.value:
        for flag in (_PLATFORMS, _DTYPE, _BLOCKS, _SLIM, _NAME, _LICENSE, _EXAMPLE):
            if flags.FLAGS[flag.name].present:
                sys.exit(f"--{flag.name}: --rebuild makes what was asked for before; leave it out")
    output = Path(_OUTPUT.value)
    if "://" in _OUTPUT.value:
        sys.exit(f"--output={_OUTPUT.value}: give a local folder, and copy it there afterwards")
    try:
        if _REBUILD.value:
            _remake(output)
        else:
            _make(output)
    except UserError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.filename or output}: cannot be written: {why(error)}")
    except KeyboardInterrupt:
        sys.exit(f"\n{output}: stopped")


def _remake(output: Path) -> None:
    read_files(output, read_manifest(output))
    check_folder(output)
    from experiments.releases.writing import remake_release  # and with it JAX

    remake_release(output)


def _make(output: Path) -> None:
    _check_options()
    check_source(_MODEL.value, _EXAMPLE.value)
    replaceable(output)
    check_folder(output)
    from experiments.releases.writing import make_release  # and with it JAX

    make_release(find_source(_MODEL.value, _NAME.value, _EXAMPLE.value), _options(), output)


def _check_options() -> None:
    wrong = sorted(set(_PLATFORMS.value) - set(PLATFORMS))
    if wrong or not _PLATFORMS.value:
        sys.exit(f"--platforms={','.join(wrong)}: give one or more of {', '.join(PLATFORMS)}")
    for text in _BLOCKS.value:
        if not text.isdecimal() or not 1 <= int(text) <= 1 << 20:
            sys.exit(f"--blocks: {text!r} is no number of samples from 1 to {1 << 20:,}")


def _options() -> "ReleaseOptions":
    from experiments.releases.writing import ReleaseOptions

    return ReleaseOptions(
        platforms=tuple(dict.fromkeys(_PLATFORMS.value)),
        dtype=_DTYPE.value,
        blocks=tuple(sorted({int(text) for text in _BLOCKS.value})),
        size=_SLIM.value,
        license=_LICENSE.value,
    )


if __name__ == "__main__":
    flags.mark_flag_as_required("output")
    app.run(main, flags_parser=parse_flags)
