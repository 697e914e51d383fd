"""Makes a release: a model as functions that run without its code.

    python -m experiments.export --model=WORKDIR --output=RELEASE
    python -m experiments.export --model=amp.nam --output=RELEASE --blocks=64,256
    python -m experiments.export --rebuild --output=RELEASE

The model is a training run, a converted checkpoint, or a .nam file. The release has its
arrays, one artifact per function for batches and clips of any size, a manifest with the digest of
every file, a README.md and an example; `wf_jax.export.load(RELEASE)` reads it. `--rebuild` makes
the artifacts of a release anew, which JAX promises to read for six months only.
"""

from absl import flags

from experiments.releases.export import USUAL, Export, export
from experiments.terminal.start import start
from wf_jax.export.manifest import PLATFORMS

text = flags.DEFINE_string
text("model", None, "A training run, a model folder, or a .nam file")
text("output", None, "Folder of the release; one that is there is replaced")
flags.DEFINE_list("platforms", USUAL, f"Where it is to run: {', '.join(PLATFORMS)}")
flags.DEFINE_enum(
    "dtype", None, ["float32", "bfloat16"], "Of a vocoder's products; the model's own if left out"
)
flags.DEFINE_list("blocks", ["64"], "Amps: sizes of the blocks that `step` takes")
flags.DEFINE_float(
    "slim", 1.0, "Amps: size of a model that has several, 0 smallest, 1 largest", 0.0, 1.0
)
text("name", None, "Of the model; the folder's or file's name if left out")
text("license", "", "Of the model, for its README: cc-by-4.0, mit, ...")
text("example", None, "Recording to make example.wav of: speech to say again, or a DI to play")
flags.DEFINE_bool("rebuild", False, "Make the artifacts of the release --output anew")

if __name__ == "__main__":
    start(export, "--output=DIR", Export)
