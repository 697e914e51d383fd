"""WORLD: pitch by Harvest and StoneMask, and speech made again of it, through the package pyworld.

Morise, Yokomori and Ozawa, "WORLD: a vocoder-based high-quality speech synthesis system for
real-time applications" (2016); Morise, "Harvest: a high-performance fundamental frequency
estimator from speech signals" (2017). Needs the extra `judge`.
"""

import numpy as np

from wf_jax.audio.judge_packages import required

PERIOD = 0.005  # seconds between frames, WORLD's default


def harvest_pitch(x: np.ndarray, sample_rate: int) -> np.ndarray:
    """Pitch every 5 ms, of 71 to 800 Hz.

    Args:
        x: [T], full scale 1; what is beyond is limited.
        sample_rate: Hz.

    Returns:
        f0 in Hz, 0 where unvoiced, [F].

    Raises:
        UserError: pyworld is not installed.
    """
    world, x = required("pyworld"), np.clip(np.asarray(x, np.float64), -1, 1)
    f0, times = world.harvest(x, sample_rate, frame_period=1000 * PERIOD)
    return world.stonemask(x, f0, times, sample_rate)


def world_resynthesis(x: np.ndarray, f0: np.ndarray, sample_rate: int) -> np.ndarray:
    """Makes speech again of its pitch, its envelope (CheapTrick) and its aperiodicity (D4C).

    Args:
        x: [T], full scale 1.
        f0: [F], by `harvest_pitch` of x.
        sample_rate: Hz.

    Returns:
        float32 [T].

    Raises:
        UserError: pyworld is not installed.
    """
    world, x = required("pyworld"), np.asarray(x, np.float64)
    times = PERIOD * np.arange(len(f0))
    envelope = world.cheaptrick(x, f0, times, sample_rate)
    aperiodicity = world.d4c(x, f0, times, sample_rate)
    made = world.synthesize(f0, envelope, aperiodicity, sample_rate, 1000 * PERIOD)[: len(x)]
    return np.pad(made, (0, len(x) - len(made))).astype(np.float32)
