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

import sys
from pathlib import Path

from absl import app, flags

from experiments.terminal.outputs import check_folder
from experiments.terminal.start import no_arguments, parse_flags, set_up
from wf_jax.errors import UserError
from wf_jax.flows.model_folder import save_model
from wf_jax.interop.checkpoint import IMPORTERS, read_checkpoint

_INPUT = flags.DEFINE_string("input", None, "The checkpoint")
_SOURCE = flags.DEFINE_enum("source", None, list(IMPORTERS), "Whose checkpoint it is")
_SOURCE_CONFIG = flags.DEFINE_string(
    "source_config", None, "The configuration that it was trained with, .json or .yaml"
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write the model to")


def main(argv: list[str]) -> None:
    """Converts one checkpoint."""
    set_up()
    no_arguments(argv, "--output=DIR")
    output = Path(_OUTPUT.value)
    try:
        check_folder(output)
        model = read_checkpoint(_INPUT.value, _SOURCE.value, _SOURCE_CONFIG.value)
    except UserError as error:
        sys.exit(str(error))
    from wf_jax.modules import split  # and with it JAX

    _, params = split(model)
    try:
        save_model(output, model.config, params)
    except OSError as error:
        sys.exit(f"{output}: cannot be written: {error.strerror or error}")
    count = sum(value.size for value in params.values())
    print(f"{output}: {model.config.family} with {count:,} parameters in {len(params)} arrays")


if __name__ == "__main__":
    flags.mark_flags_as_required(["input", "source", "source_config", "output"])
    app.run(main, flags_parser=parse_flags)
