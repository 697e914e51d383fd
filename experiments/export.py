"""Makes a release: a model as functions that run without its code.

    python -m experiments.export --model=WORKDIR --output=RELEASE
    python -m experiments.export --model=amp.nam --output=RELEASE --blocks=64,256
    python -m experiments.export --rebuild --output=RELEASE

The model is a training run, a folder of `experiments.convert`, or a .nam file. The release has its
arrays, one artifact per function for batches and clips of any size, a manifest with the digest of
every file, a README.md and an example; `wf_jax.export.load(RELEASE)` reads it. `--rebuild` makes
the artifacts of a release anew, which JAX promises to read for six months only.
"""

from absl import flags

from experiments.releases.export import export, rebuild
from experiments.releases.options import ReleaseOptions, blocks_of, platforms_of
from experiments.terminal.parsing import given
from experiments.terminal.start import start
from wf_jax.export.manifest import PLATFORMS

_MODEL = flags.DEFINE_string("model", None, "A training run, a model folder, or a .nam file")
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder of the release; one that is there is replaced", required=True
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


def main() -> None:
    """Makes or remakes one release; on failure --output stays as it was."""
    if _REBUILD.value:
        others = (_MODEL, _PLATFORMS, _DTYPE, _BLOCKS, _SLIM, _NAME, _LICENSE, _EXAMPLE)
        return rebuild(_OUTPUT.value, given(*others))
    platforms, blocks = platforms_of(_PLATFORMS.value), blocks_of(_BLOCKS.value)
    options = ReleaseOptions(platforms, _DTYPE.value, blocks, _SLIM.value, _LICENSE.value)
    return export(_MODEL.value, _OUTPUT.value, options, _NAME.value, _EXAMPLE.value)


if __name__ == "__main__":
    start(main, "--output=DIR")
