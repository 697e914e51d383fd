"""The captures that a folder or a manifest names, each with the config of a run of its own."""

import copy
import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from data_pipeline.audio_files import AudioFile
from data_pipeline.manifest import Entry, models_in, read_manifest, recordings_in
from data_pipeline.synthetic_playing import BUILT_IN, DEMO
from wf_jax.amps.nam_metadata import USER_KEYS
from wf_jax.errors import UserError

if TYPE_CHECKING:
    from experiments.capture.config import CaptureConfig, Data


@dataclasses.dataclass(frozen=True)
class Member:
    """One capture of many.

    Attributes:
        name: name of its folder.
        config: the config of a run with this capture alone.
        fault: why it cannot be made; "" if nothing is known against it.
    """

    name: str
    config: "CaptureConfig"
    fault: str = ""


def is_many(data: "Data") -> bool:
    """Returns whether the files are those of many captures: a manifest, or a folder."""
    return bool(data.manifest) or any(map(os.path.isdir, (data.teacher, data.output)))


def members_of(config: "CaptureConfig") -> list[Member]:
    """Lists the captures in order, without looking into their files.

    Raises:
        UserError: the folder or the manifest cannot be used, or the options do not go with it.
    """
    _check(config)
    entries = _entries(config.data)
    if config.data.input == DEMO and any(
        entry.output and entry.input in ("", DEMO) for entry in entries
    ):
        raise UserError(
            f"--config.data.input={DEMO}: the built-in pair has a recording of its own; name the "
            "DI of these (--config.data.input)"
        )
    return [
        Member(entry.name, _config(config, entry), entry.fault or _wrong_files(entry))
        for entry in entries
    ]


def _check(config: "CaptureConfig") -> None:
    data = config.data
    given = [n for n in ("manifest", "output", "teacher") if getattr(data, n)]
    if len(given) > 1:
        raise UserError(
            f"--config.data.{given[0]} and --config.data.{given[1]} exclude each other; give one"
        )
    if config.metadata.name:
        raise UserError(
            f"--config.metadata.name={config.metadata.name}: one name for many captures; give each "
            "its own in a manifest (--config.data.manifest), or leave it out"
        )
    if data.output and not data.input:
        raise UserError("--config.data.input is missing; name the DI of the recordings")
    if data.output and data.input != DEMO and not os.path.isdir(data.input):
        AudioFile(data.input)


def _entries(data: "Data") -> list[Entry]:
    if data.manifest:
        return read_manifest(Path(data.manifest), USER_KEYS)
    if data.teacher:
        return models_in(Path(data.teacher))
    return recordings_in(Path(data.output), Path(data.input))


def _wrong_files(entry: Entry) -> str:
    """Describes the fault of a line that names what is no file, where one belongs."""
    if entry.output and entry.input in (BUILT_IN, DEMO):
        return f"input={entry.input}: for teachers, and {entry.output} is a recording; name its DI"
    for name in (entry.output, entry.teacher):
        if os.path.isdir(name):
            return f"{name}: a folder; name a file in it"
    return ""


def _config(config: "CaptureConfig", entry: Entry) -> "CaptureConfig":
    """Makes the config of one: the common options, its files, and its line of the manifest."""
    own = copy.deepcopy(config)
    own.data.manifest, own.train.captures_at_once = "", 0
    own.data.output, own.data.teacher = entry.output, entry.teacher
    own.data.input = entry.input or config.data.input
    own.data.latency = entry.latency or config.data.latency
    for name, value in entry.metadata.items():
        setattr(own.metadata, name, value)
    return own
