"""Makes a model folder of another project's checkpoint."""

from pathlib import Path

from experiments.terminal.outputs import check_folder
from wf_jax.flows.model_folder import save_model
from wf_jax.interop.checkpoint import read_checkpoint


def convert(input: str, source: str, source_config: str, output: str) -> None:
    """Converts one checkpoint.

    Raises:
        UserError: a file cannot be used, or the folder cannot be written.
    """
    check_folder(Path(output))
    model = read_checkpoint(input, source, source_config)
    from wf_jax.modules import split  # and with it JAX

    _, params = split(model)
    save_model(Path(output), model.config, params)
    count = sum(value.size for value in params.values())
    print(f"{output}: {model.config.family} with {count:,} parameters in {len(params)} arrays")
