"""The optimizers by name. Each gives a direction; the step multiplies it by the learning rate."""

import jax.numpy as jnp
import optax

from wf_jax.modules import Params
from wf_jax.training.matrices import AxesOf
from wf_jax.training.settings import OPTIMIZERS as OPTIMIZERS
from wf_jax.training.soap import scale_by_soap
from wf_jax.training.state import model_norm


def make_optimizer(
    name: str,
    axes_of: AxesOf,
    weight_decay: float = 0.0,
    clip_norm: float = 0.0,
    models: int = 0,
) -> optax.GradientTransformation:
    """Makes an optimizer with L2 as torch has it: added to the gradient, before the moments.

    The learning rate is no part of it, so that a schedule may depend on the clock.

    Args:
        name: "adam" or "soap".
        axes_of: the axes by which `soap` sees each array as matrices.
        weight_decay: factor on the parameters, added to their gradient.
        clip_norm: the gradient is scaled down to this norm over all arrays; 0 leaves it.
        models: leading axes of every array that number independent models, clipped each by itself.

    Raises:
        ValueError: there is no optimizer of this name.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer {name!r} does not exist; choose {' or '.join(OPTIMIZERS)}")
    clip = _clip(clip_norm, models) if clip_norm else optax.identity()
    scale = scale_by_soap(axes_of) if name == "soap" else optax.scale_by_adam()
    return optax.chain(clip, optax.add_decayed_weights(weight_decay), scale)


def _clip(most: float, models: int) -> optax.GradientTransformation:
    """Scales the gradient of each model down to a norm."""

    def clipped(gradients: Params, params: Params | None) -> Params:
        del params
        share = jnp.minimum(1.0, most / model_norm(gradients, models))
        return {
            key: value * share.reshape(*share.shape, *[1] * (value.ndim - models))
            for key, value in gradients.items()
        }

    return optax.stateless(clipped)
