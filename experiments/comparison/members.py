"""The members of a comparison: the run of each, checked before JAX is loaded."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from experiments.vocoder.config import VocoderConfig
from wf_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Entry:
    """A member: its run, and its row in the paper's table ("" for none)."""

    run: Any
    paper: str


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
            "--config.data.corpus is missing; make one with python -m experiments.prepare, or "
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
