"""The configuration of a source-filter flow."""

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from wf_jax.flows.config import DEPTH, DOUBLINGS, MOST, SIZE
from wf_jax.flows.waveflow_config import RowsConfig
from wf_jax.options import Number, option

PITCH_ROWS = 3  # of audio/pitch_rows.py, below those of the mel
MIDDLE, LOG_SPREAD = -5.0, math.log(2.0)  # of log-mels, before any is measured
_SOME = Number(0, 256, above=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceFilterConfig(RowsConfig):
    """The static description of a source-filter flow; defaults are for one voice on a laptop.

    Attributes:
        flows: affine maps, each with a net of its own.
        layers: dilated layers of each net.
        channels: residual channels.
        order: taps of the predictor that is taken from the mel; half a hop is a multiple of it.
        harmonics: of the fundamental, whose sum is taken out of the audio.
        residual_order: taps of the predictor of what is left then, up to `order`.
        features: numbers per sample that the nets are given of the mel.
        pitch_units: hidden units of the net that guesses the pitch from a mel.
        matches: how often what is generated is pulled to its mel; 0 leaves it as it was drawn.
    """

    family: ClassVar[str] = "SourceFilter"
    later_arrays: ClassVar[Mapping[str, float]] = MappingProxyType(
        {"band_scale/middle": MIDDLE, "band_scale/log_spread": LOG_SPREAD}
    )

    flows: int = option(4, DEPTH)
    layers: int = option(5, DOUBLINGS)
    channels: int = option(16, SIZE)
    order: int = option(32, _SOME)
    harmonics: int = option(32, _SOME)
    residual_order: int = option(16, _SOME)
    features: int = option(24, SIZE)
    pitch_units: int = option(64, Number(0, MOST, above=True))
    matches: int = option(60, Number(0, 1024))

    def __post_init__(self) -> None:
        """Checks every value; see FlowConfig."""
        super().__post_init__()
        self._check_positive("order", "harmonics", "residual_order", "features", "pitch_units")
        if self.mel.hop_length % (2 * self.order):
            raise ValueError(
                f"order {self.order} does not divide half a hop of {self.mel.hop_length}; "
                "choose 32 for a hop of 256"
            )

        if self.residual_order > self.order:
            raise ValueError(f"residual_order {self.residual_order} is above order {self.order}")

    @property
    def bands(self) -> int:
        """The mel's, and the rows of the pitch."""
        return self.mel.n_mels + PITCH_ROWS

    @property
    def conditions(self) -> int:
        """Features of the mel, voicing, pitch, the first harmonic in two, and the sum of all."""
        return self.features + 5

    @property
    def context_samples(self) -> None:
        """None: the phase of a clip begins where it begins."""
        return

    @property
    def upsampler_frames(self) -> int:
        """Two convolutions of one frame, and the next frame."""
        return 3
