"""Checks of a recording of a standard file, whose layout is known."""

import numpy as np

from data_pipeline.audio_files import Audio
from data_pipeline.checks import Finding, duration
from data_pipeline.standard_files import StandardFile

MAX_REPLICATE_ESR = 0.01
PRE_SILENCE_SECONDS = 0.4
_BLIP_BEFORE, _BLIP_AFTER = 10, 1_000


def check_standard_rate(x: Audio, standard: StandardFile) -> Finding:
    """Requires the sample rate of the standard file."""
    if x.sample_rate == standard.sample_rate:
        return Finding("standard rate", "ok", f"{x.path.name}: {x.sample_rate} Hz as it should be")
    return Finding(
        "standard rate",
        "error",
        f"{x.path.name}: {x.sample_rate} Hz, but version {standard.version} has"
        f" {standard.sample_rate} Hz",
        "download the standard file again and do not resample it",
        ignorable=False,
    )


def check_version(x: Audio, standard: StandardFile) -> Finding:
    """Refuses outdated standard files."""
    message = f"{x.path.name}: standard input file version {standard.version}"
    if not standard.deprecated:
        return Finding("version", "ok", message)
    return Finding(
        "version",
        "error",
        f"{message} is deprecated",
        "record with version 3.0.0, or ignore the checks (ignore_checks)",
    )


def check_output_holds_all(y: Audio, standard: StandardFile) -> Finding:
    """Requires an output as long as the standard file's layout."""
    missing = round(standard.min_seconds * y.sample_rate) - len(y.samples)
    if y.seconds >= standard.min_seconds:
        return Finding("complete", "ok", f"{y.path.name}: {y.seconds:.1f} s is long enough")
    return Finding(
        "complete",
        "error",
        f"{y.path.name}: {y.seconds:.1f} s, version {standard.version} needs at least"
        f" {standard.min_seconds:g} s ({duration(missing, y.sample_rate)} more)",
        "record the whole file",
    )


def check_replicates(y: Audio, standard: StandardFile, input_samples: int) -> Finding | None:
    """Compares two recordings of the same passage."""
    if standard.replicates is None:
        return None
    first, second = (y.samples[:input_samples][slice(*part)] for part in standard.replicates)
    if len(first) != len(second) or len(first) == 0:
        return Finding(
            "replicates",
            "error",
            f"{y.path.name}: {y.seconds:.1f} s, too short for the passage that is played twice",
            "record the whole file",
        )
    value = esr(first, second)
    message = f"{y.path.name}: two passes of the same passage differ by ESR {value:.2g}"
    if value <= MAX_REPLICATE_ESR:
        return Finding("replicates", "ok", message)
    return Finding(
        "replicates",
        "error" if standard.replicates_must_agree else "warning",
        f"{message}, more than {MAX_REPLICATE_ESR:g}",
        "turn off time effects and noise gates, let the amp warm up, and record again",
    )


def check_blips(y: Audio, standard: StandardFile, delay: int, input_samples: int) -> Finding | None:
    """Compares blips at start and end: a changing delay shows here.

    Args:
        y: the output.
        standard: its layout; without blips at the end there is nothing to check.
        delay: the latency in use, in samples.
        input_samples: length of the input, from whose end the last blips are counted.
    """
    if not standard.end_blips:
        return None
    positions = {
        "start": [blip + delay for blip in standard.blips],
        "end": [input_samples + blip + delay for blip in standard.end_blips],
    }
    scans = {
        side: [y.samples[max(at - _BLIP_BEFORE, 0) : at + _BLIP_AFTER] for at in blips]
        for side, blips in positions.items()
    }
    pairs = {
        "the two at the start": scans["start"],
        "the two at the end": scans["end"],
        "the first at the start and at the end": (scans["start"][0], scans["end"][0]),
        "the second at the start and at the end": (scans["start"][1], scans["end"][1]),
    }
    for name, (one, other) in pairs.items():
        value = esr(one, other) if len(one) == len(other) else float("inf")
        if value >= MAX_REPLICATE_ESR:
            return Finding(
                "blips",
                "error",
                f"{y.path.name}: blips differ ({name}) by ESR {value:.2g}, {MAX_REPLICATE_ESR:g}"
                " or more",
                "fix the buffer size and turn off time effects, then record again",
            )
    return Finding("blips", "ok", f"{y.path.name}: the blips agree")


def check_pre_silence(x: Audio, start: int | None, part: str) -> Finding | None:
    """Requires exact zeros in the input for 0.4 s before a part, so nothing rings into it.

    Args:
        x: the input.
        start: first sample of the part; negative counts from the end; None needs no silence.
        part: its name, "training" or "validation".
    """
    if start is None:
        return None
    begin = start if start >= 0 else len(x.samples) + start
    before = x.samples[max(begin - round(PRE_SILENCE_SECONDS * x.sample_rate), 0) : max(begin, 0)]
    loud = np.flatnonzero(before)
    seconds = begin / x.sample_rate
    if len(loud) == 0:
        message = f"{x.path.name}: silent before its {part} part at {seconds:.2f} s"
        return Finding("pre-silence", "ok", message)
    return Finding(
        "pre-silence",
        "error",
        f"{x.path.name}: not exactly zero for {PRE_SILENCE_SECONDS} s before its {part} part at"
        f" {seconds:.2f} s",
        "use the standard file unchanged there",
    )


def esr(prediction: np.ndarray, target: np.ndarray) -> float:
    """Returns the error-to-signal ratio mean((p - t)^2) / mean(t^2); infinite if t is silent."""
    energy = float(np.mean(target**2))
    return float(np.mean((prediction - target) ** 2)) / energy if energy > 0.0 else float("inf")
