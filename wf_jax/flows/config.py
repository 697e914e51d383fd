"""The configuration that flows of all families share."""

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

from wf_jax.audio.mel_settings import MelSettings
from wf_jax.options import Choice, Items, Number, option, rule_of

# Far above all that make sense: a configuration may come from a stranger, and what it describes is
# made at least in shapes before anything is compared. Those of 256 layers take a second.
MOST = 1 << 16  # of any size
MOST_LAYERS = 256  # of all nets together
MANY_STEPS = 10_000  # evaluations of a net, one after the other, for a second of audio
MOST_DOUBLINGS = 24  # layers with a dilation that is twice that of the layer before

SIZE = Number(0, MOST, above=True)  # of a net: channels, taps, rows
DEPTH = Number(0, MOST_LAYERS, above=True)  # layers, flows
DOUBLINGS = Number(0, MOST_DOUBLINGS, above=True)
FACTORS = Items(SIZE)
_TYPES = ("float32", "bfloat16", "float64")
_PRECISIONS = ("highest", "high", "default")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowConfig:
    """The part of a model's static description that all families share.

    Attributes:
        later_arrays: arrays that files of earlier versions lack, and the value that they stand for.
        mel: what the conditioner is made from.
        compute_dtype: of the nets' products, "float32" or "bfloat16" ("float64" for checks); audio,
            latents, scales and shifts keep the type of the audio.
        matmul_precision: of float32 products on accelerators, "highest", "high" or "default"
            (JAX's names: on a GPU "default" may use TF32).
    """

    family: ClassVar[str]
    later_arrays: ClassVar[Mapping[str, float]] = MappingProxyType({})

    mel: MelSettings = dataclasses.field(default_factory=MelSettings)
    compute_dtype: Literal["float32", "bfloat16", "float64"] = option("float32", Choice(_TYPES))
    matmul_precision: Literal["highest", "high", "default"] = option("highest", Choice(_PRECISIONS))

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
            ValueError: one does not fit; the message says which and what would.
        """
        self._check_highest()
        self._check_choice("compute_dtype", _TYPES)
        self._check_choice("matmul_precision", _PRECISIONS)

    @property
    def bands(self) -> int:
        """Rows of what a clip is conditioned on: those of its mel."""
        return self.mel.n_mels

    @property
    def conditions(self) -> int:
        """Numbers that the nets are given for every sample."""
        return self.bands

    @property
    def group(self) -> int:
        """Samples in one column: a clip is processed in whole columns."""
        raise NotImplementedError

    @property
    def context_samples(self) -> int | None:
        """Samples on each side that a chunk of audio needs; None: no clip can be cut."""
        raise NotImplementedError

    @property
    def least_bytes(self) -> int:
        """Lower bound of the bytes of a model's arrays: those that grow with the sizes."""
        raise NotImplementedError

    @property
    def upsampler_frames(self) -> int:
        """Mel frames on each side that the condition of a sample may depend on."""
        raise NotImplementedError

    @property
    def has_latent(self) -> bool:
        """True if audio maps to a latent and back; else there are likelihood and samples only."""
        return True

    def sequential_steps(self, samples: int) -> int:
        """Number of net evaluations, one after the other, that `samples` of audio take."""
        raise NotImplementedError

    @property
    def is_slow(self) -> bool:
        """True if speaking takes minutes: many net evaluations one after the other."""
        return self.sequential_steps(self.mel.sample_rate) > MANY_STEPS

    def describe(self) -> str:
        """Describes the sizes in words."""
        raise NotImplementedError

    def _check_positive(self, *names: str) -> None:
        for name in names:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} is below 1")

    def _check_highest(self) -> None:
        """Checks the upper bounds of numbers only: the lower ones have messages of their own."""
        for field in dataclasses.fields(self):
            rule, value = rule_of(field), getattr(self, field.name)
            numbers = value if isinstance(rule, Items) else (value,)
            rule = rule.rule if isinstance(rule, Items) else rule
            if isinstance(rule, Number) and any(number > rule.high for number in numbers):
                raise ValueError(f"{field.name} is above {rule.high:,}")

    def _check_layers(self, nets: int, layers: int) -> None:
        """Refuses more than MOST_LAYERS in all of `nets` nets."""
        if nets * layers > MOST_LAYERS:
            raise ValueError(
                f"layers {layers} of {nets} flows are more than {MOST_LAYERS}; choose fewer"
            )

    def _check_odd(self, name: str) -> None:
        if getattr(self, name) < 1 or getattr(self, name) % 2 == 0:
            raise ValueError(f"{name} {getattr(self, name)} is not odd; choose 3")

    def _check_choice(self, name: str, choices: tuple[str, ...]) -> None:
        if getattr(self, name) not in choices:
            raise ValueError(f"{name} {getattr(self, name)!r} is none of {', '.join(choices)}")

    def _check_factors(self, factors: tuple[int, ...]) -> None:
        if len(factors) > 16:
            raise ValueError(f"upsample_factors are {len(factors)}; choose 16 or fewer")
        if any(factor < 1 for factor in factors):
            raise ValueError(f"upsample_factors {factors} hold a value below 1")
        if math.prod(factors) != self.mel.hop_length:
            raise ValueError(
                f"upsample_factors {factors} multiply to {math.prod(factors)}, but the hop is "
                f"{self.mel.hop_length}"
            )
