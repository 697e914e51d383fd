"""The members of a comparison: the run of each, all checked before JAX is loaded."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from experiments.run.process import run_main
from experiments.terminal.outputs import check_folder
from experiments.vocoder.config import VocoderConfig
from wf_jax.command_lines import command
from wf_jax.errors import UserError
from wf_jax.folders import folder_path, is_remote
from wf_jax.options import check_options


@dataclasses.dataclass(frozen=True)
class Entry:
    """A member: its run, and its row in the paper's table ("" for none)."""

    run: Any
    paper: str


def compare_members(config: Any, workdir: str) -> int:
    """Checks a comparison, trains its members and compares them; returns the exit code.

    Raises:
        UserError: it is none, or an option or the folder cannot be used.
    """
    if not hasattr(config, "members"):
        raise UserError(
            "--config has no members to compare; use likelihood, or for one model "
            f"{command('train')}"
        )
    check_options(config)
    check_members(members_of(config))
    folder = folder_path(workdir)
    if is_remote(folder):
        raise UserError(f"--workdir={folder}: a comparison is written to local folders only")
    check_folder(folder)

    def run() -> int:
        from experiments.comparison.suite import compare  # and with it JAX

        return compare(config, folder)

    return run_main(run, config.train.batch_size, "none")


def members_of(config: Any) -> dict[str, Entry]:
    """Returns the runs of a comparison by name.

    Raises:
        UserError: no members, or an unknown one asked for.
    """
    only = [name for names in config.only for name in names.split(",")]
    unknown = [name for name in only if name not in config.members]
    if unknown or not config.members:
        known = ", ".join(config.members) or "none"
        raise UserError(f"--config.only={','.join(unknown)}: no such member; there are {known}")
    return {
        name: Entry(_run_of(config, member), member.paper)
        for name, member in config.members.items()
        if name in only or not only
    }


def check_members(entries: Mapping[str, Entry]) -> None:
    """Finds faults of any member before another one has cost its time.

    Raises:
        UserError: one line; of an option it names the member.
    """
    run = next(iter(entries.values())).run
    if not run.data.corpus:
        raise UserError(
            f"--config.data.corpus is missing; make one with {command('prepare')}, or "
            "try the built-in audio with --config=likelihood:demo"
        )
    run.corpus_rate()  # which all members share
    for name, entry in entries.items():
        try:
            entry.run.check()
        except UserError as error:
            raise UserError(f"{name}: {error}") from None


def _run_of(config: Any, member: Any) -> VocoderConfig:
    training = config.train
    if member.learning_rate:
        training = dataclasses.replace(training, learning_rate=member.learning_rate)
    return VocoderConfig(
        model=member.model,
        source=member.model.family.lower(),
        data=dataclasses.replace(config.data),
        mel=dataclasses.replace(config.mel),
        train=dataclasses.replace(training),
        checkpoints=dataclasses.replace(config.checkpoints),
    )
