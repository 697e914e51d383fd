"""Levels of audio: full scale, and peak normalization."""

FULL_SCALE = 32768  # int16 counts for 1.0
NORMALIZED_PEAK = 0.999  # of a clip after peak normalization
# -60 dBFS: a clip below is silence and keeps its level; the dither of a 16-bit file peaks at -84.
LEAST_NORMALIZED = 1e-3


def peak_gain(peak: float) -> float:
    """Returns the gain that brings a clip of this peak to NORMALIZED_PEAK; 1 for silence.

    `wf_jax.audio.mel.peak_gain` is the same rule for arrays of audio.
    """
    return NORMALIZED_PEAK / peak if peak >= LEAST_NORMALIZED else 1.0
