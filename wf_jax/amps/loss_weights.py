"""The loss of a capture's training: which terms it has, and their sum."""

import dataclasses
from typing import TYPE_CHECKING

from wf_jax.options import Number, option

if TYPE_CHECKING:
    import jax

    from wf_jax.mesh import AxisNames

_WEIGHT = Number(0, 1e6)


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """MSE plus weighted extras; the defaults are the NAM trainer's.

    Attributes:
        mrstft: weight of the multi-resolution STFT loss.
        pre_emphasis: coefficient c of x[t] - c x[t - 1] in the two losses below.
        pre_emphasis_mse: weight of the MSE of pre-emphasized signals.
        pre_emphasis_mrstft: weight of their multi-resolution STFT loss.
    """

    mrstft: float = option(0.0005, _WEIGHT)
    pre_emphasis: float = option(0.85, Number(0, 1))
    pre_emphasis_mse: float = option(0.0, _WEIGHT)
    pre_emphasis_mrstft: float = option(0.0, _WEIGHT)

    def __call__(
        self,
        p: "jax.Array",
        t: "jax.Array",
        axis_name: "AxisNames" = None,
        *,
        native: bool = False,
    ) -> "jax.Array":
        """Prediction p [..., B, T] against target t [..., B, T] -> [...].

        `native` has machine code compare spectra, of float32 [N, B, T] on a CPU.
        """
        # Here, so that a config knows the weights without loading JAX.
        from wf_jax.amps import losses
        from wf_jax.audio.filters import pre_emphasis

        total = losses.mse(p, t, axis_name)
        if self.mrstft:
            total += self.mrstft * losses.multi_resolution_stft(p, t, axis_name, native=native)
        if self.pre_emphasis_mse or self.pre_emphasis_mrstft:
            p, t = pre_emphasis(p, self.pre_emphasis), pre_emphasis(t, self.pre_emphasis)
            total += self.pre_emphasis_mse * losses.mse(p, t, axis_name)
            if self.pre_emphasis_mrstft:
                stft = losses.multi_resolution_stft(p, t, axis_name, native=native)
                total += self.pre_emphasis_mrstft * stft
        return total
