"""Checks of a capture's config and files, made before JAX and the audio are loaded."""

import warnings
from typing import Any

from data_pipeline.audio_files import AudioFile
from experiments.configs.a2_capture import recipe
from experiments.run.option_checks import check_training
from wf_jax.amps.nam_file import read_json, read_nam
from wf_jax.amps.nam_metadata import joined
from wf_jax.errors import UserError

LONGEST_PROBE = 60.0  # seconds; the probe is played at eleven gains at once


class CaptureConfigError(UserError):
    """An option has a value that cannot be used."""


def check(config: Any) -> None:
    """Refuses what would otherwise fail late, or in another's words; reads headers only.

    Raises:
        AudioFileError, NamFileError: a file is missing or none of its kind.
        CaptureConfigError, OptionError: an option has a value that cannot be used.
    """
    check_training(config, recipe)
    data = config.data
    for name in () if data.input == "demo" else ("input", "output"):
        if not getattr(data, name):
            raise CaptureConfigError(
                f"--config.data.{name} is missing; name the file, or try the built-in amp "
                "with --config=experiments/configs/a2_capture.py:demo"
            )
    if config.init_from and config.model.nam:
        raise CaptureConfigError(
            "--config.init_from and --config.model.nam exclude each other; give one"
        )
    if config.model.nam:
        read_json(config.model.nam)
    gear(config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said when the file is read
        _check_audio(data)


def gear(config: Any) -> dict[str, Any]:
    """The metadata that the user gives, or else the file that the capture begins from.

    Returns:
        By key of wf_jax.amps.nam_metadata.USER_KEYS: text, a level in dBu, or None.

    Raises:
        NamFileError: that file cannot be read, or says what no .nam file may.
    """
    # What is fine-tuned is still the same gear, where the user says nothing else.
    before = read_nam(config.init_from).metadata if config.init_from else {}
    return joined(config.metadata, before, config.init_from)


def _check_audio(data: Any) -> None:
    for name in () if data.input == "demo" else ("input", "output"):
        channel = getattr(data, f"{name}_channel") or None
        AudioFile(getattr(data, name)).index_of(channel, f"--config.data.{name}_channel")
    if data.loudness_probe:
        probe = AudioFile(data.loudness_probe)
        if probe.channels != 1 or probe.seconds > LONGEST_PROBE:
            raise CaptureConfigError(
                f"--config.data.loudness_probe={data.loudness_probe}: {probe.channels} channels "
                f"of {probe.seconds:.3g} s; give one channel of {LONGEST_PROBE:g} s at most"
            )
