"""Makes a model folder of a published WaveFlow or WaveGlow checkpoint.

    python -m experiments.convert --input=step-2000000.pdparams --source=parakeet \
        --source_config=config.yaml --output=DIR

Sources: parakeet (Parakeet and PaddleSpeech), l0sg (L0SG/WaveFlow), nvidia (NVIDIA's WaveGlow).
Reads .pdparams, .pt, .pth, .safetensors and .npz without Paddle or PyTorch, and runs no code out of
them. NVIDIA's files hold a model that cannot be read so: where its code is at hand, save its arrays

    model = torch.load(path, "cpu", weights_only=False)["model"]
    torch.save(model.state_dict(), "arrays.pt")

`python -m experiments.synthesize --model=DIR` plays the result.
"""

from absl import flags

from experiments.terminal.start import start
from experiments.vocoder.conversion import convert
from wf_jax.interop.checkpoint import IMPORTERS

flags.DEFINE_string("input", None, "The checkpoint")
flags.DEFINE_enum("source", None, list(IMPORTERS), "Whose checkpoint it is")
flags.DEFINE_string(
    "source_config", None, "The configuration that it was trained with, .json or .yaml"
)
flags.DEFINE_string("output", None, "Folder to write the model to")

if __name__ == "__main__":
    start(convert, "--output=DIR")
