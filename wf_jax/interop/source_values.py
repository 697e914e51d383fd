"""The values of a source's own configuration, checked one by one."""

import contextlib
import dataclasses
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

from wf_jax.audio.mel import MelSettings
from wf_jax.errors import UserError


class SourceValues:
    """A source's configuration: named sections are looked into, else it is flat."""

    def __init__(self, source: Mapping[str, Any], sections: tuple[str, ...]) -> None:
        """Reads the sections in this order; a later one may stand in an earlier one.

        Raises:
            UserError: it is no table.
        """
        if not isinstance(source, Mapping):
            raise UserError("the source configuration is not a table of names and values")
        self.values = dict(source)
        for section in sections:
            if isinstance(self.values.get(section), Mapping):
                self.values |= self.values[section]

    def get(self, *names: str, default: Any = dataclasses.MISSING) -> Any:
        """Returns the value of the first name that is there."""
        for name in names:
            if name in self.values:
                return self.values[name]
        if default is dataclasses.MISSING:
            raise UserError(f"the source configuration has no {names[0]}; add it")
        return default

    def integer(self, *names: str, default: Any = dataclasses.MISSING) -> int:
        """Returns the same as a whole number above zero."""
        value = self.get(*names, default=default)
        if type(value) is not int or not 0 < value < 1 << 16:
            raise UserError(
                f"{names[0]} {reprlib.repr(value)} is not a whole number from 1 to 65535"
            )
        return value

    def frequency(self, *names: str, default: float) -> float:
        """Returns the same in Hz."""
        value = self.get(*names, default=default)
        if type(value) not in (int, float) or not abs(value) <= 1e9:
            raise UserError(f"{names[0]} {reprlib.repr(value)} is not a frequency in Hz")
        return float(value)


@contextlib.contextmanager
def as_import_errors() -> Iterator[None]:
    """Re-raises errors of our configuration as errors of the source's."""
    try:
        yield
    except UserError:
        raise
    except (ValueError, TypeError) as error:
        raise UserError(f"the source configuration makes no model: {error}") from None


def tacotron_mel(values: SourceValues, bands: int, peak_normalize: bool) -> MelSettings:
    """Reads mel settings under Tacotron 2's names, which L0SG and NVIDIA's WaveGlow have too."""
    return MelSettings(
        sample_rate=values.integer("sampling_rate", default=22050),
        n_fft=values.integer("filter_length", default=1024),
        hop_length=values.integer("hop_length", default=256),
        win_length=values.integer("win_length", default=1024),
        n_mels=bands,
        f_min=values.frequency("mel_fmin", default=0.0),
        f_max=values.frequency("mel_fmax", default=8000.0),
        center=True,
        peak_normalize=peak_normalize,
    )
