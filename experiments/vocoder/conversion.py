"""Makes a model folder of another project's checkpoint."""

from pathlib import Path

from experiments.terminal.outputs import check_folder
from wf_jax.flows.model_folder import save_model
from wf_jax.interop.checkpoint import read_checkpoint


def convert(checkpoint: str, source: str, source_config: str, output: Path) -> None:
    """Reads a checkpoint and writes its model to a folder.

    Raises:
        UserError: a file cannot be used, or the folder cannot be written.
        OSError: a file cannot be written.
    """
    check_folder(output)
    model = read_checkpoint(checkpoint, source, source_config)
    from wf_jax.modules import split  # and with it JAX

    _, params = split(model)
    save_model(output, model.config, params)
    count = sum(value.size for value in params.values())
    print(f"{output}: {model.config.family} with {count:,} parameters in {len(params)} arrays")
