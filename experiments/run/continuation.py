"""Makes the command that continues a run."""

from pathlib import Path

from experiments.run.config import RunConfig, flat_config
from experiments.terminal.command_lines import command, differences
from experiments.terminal.config_names import load_config


def longer(config: RunConfig, workdir: Path, *, times: int = 3) -> str:
    """Returns the command that continues a run, for so many times its budget."""
    given = flat_config(config)
    given["train.minutes"] = round(times * given["train.minutes"], 6)  # in decimals
    given["train.steps"] *= times
    given["train.epochs"] *= 1 if given["train.minutes"] or given["train.steps"] else times
    options = differences(given, flat_config(load_config(config.source)))
    return command("train", f"--config={config.source}", f"--workdir={workdir}", *options)
