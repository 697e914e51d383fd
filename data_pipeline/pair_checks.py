"""Checks that need a standard file's layout or the latency; checks.py has the others."""

import numpy as np

from data_pipeline.audio_files import Audio
from data_pipeline.checks import (
    MAX_REPLICATE_ESR,
    PRE_SILENCE_SECONDS,
    Finding,
    duration,
    esr,
)
from data_pipeline.latency import Latency
from data_pipeline.standard_files import StandardFile

_BLIP_BEFORE, _BLIP_AFTER = 10, 1_000
_EARLY_SAMPLES = -10
_EARLY_ASYMMETRY = -1.5  # dB
_MANUAL_TOLERANCE_SECONDS = 0.002


def check_used(
    x: Audio, y: Audio, start: float, stop: float, standard: StandardFile | None
) -> Finding:
    """Requires the chosen part in both files; a standard file has parts of its own.

    Args:
        x: the whole input.
        y: the whole output.
        start: seconds.
        stop: seconds; 0 for the end.
        standard: the layout of the input, if it has one.
    """
    shorter = x if x.seconds <= y.seconds else y
    fault, remedy = "", ""
    if standard is not None:
        fault = f"version {standard.version} of the standard file has its own parts"
        remedy = "leave out start_seconds and stop_seconds"
    elif not 0.0 <= start < shorter.seconds:
        fault = f"start_seconds={start:g} is not between 0 and {shorter.seconds:.3f} s, its end"
        remedy = "choose another start_seconds"
    elif stop and not start < stop <= shorter.seconds + 0.001:
        fault = f"stop_seconds={stop:g} is not between {start:g} and {shorter.seconds:.3f} s"
        remedy = "choose another stop_seconds, or 0 for the end"
    if fault:
        return Finding("part", "error", f"{shorter.path.name}: {fault}", remedy, ignorable=False)
    until = f"{stop or shorter.seconds:.2f} s"
    return Finding("part", "note", f"{y.path.name}: used from {start:.2f} to {until} only")


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


def check_latency(y: Audio, latency: Latency) -> list[Finding]:
    """Warns of a doubtful measurement, an early output, or a manual value far from it."""
    findings = []
    for warning in latency.warnings:
        message, _, remedy = f"{y.path.name}: {warning}".partition("; ")
        findings.append(Finding("latency", "warning", message, remedy))
    if latency.measured is not None and latency.measured < _EARLY_SAMPLES:
        message = f"{y.path.name}: the output is {-latency.measured:.0f} samples before the input"
        remedy = "check the latency compensation of the recording, and which file is the input"
        findings.append(Finding("latency", "warning", message, remedy))
    if latency.method != "manual" or latency.recommended is None:
        return findings
    difference = latency.samples - latency.recommended
    if abs(difference) > _MANUAL_TOLERANCE_SECONDS * y.sample_rate:
        findings.append(
            Finding(
                "latency",
                "warning",
                f"{y.path.name}: the latency given is {latency.samples} samples, but the files say"
                f" {latency.recommended}",
                "leave the latency out, unless you know better",
            )
        )
    return findings


def check_polarity(y: Audio, latency: Latency) -> Finding | None:
    """Notes an inverted output, which does not harm the model."""
    if latency.peak is None:
        return None
    if latency.polarity > 0:
        return Finding("polarity", "ok", f"{y.path.name}: same polarity as the input")
    return Finding(
        "polarity",
        "note",
        f"{y.path.name}: polarity -1, mostly the input upside down (many amps do that)",
        "harmless for the model",
    )


def check_output_is_no_standard_file(
    x: Audio, y: Audio, recognized_output: StandardFile | None
) -> Finding | None:
    """Refuses an output that is a standard input file: the two were swapped."""
    if recognized_output is None:
        return None
    return Finding(
        "direction",
        "error",
        f"{y.path.name}: is the standard input file version {recognized_output.version}, given as"
        " the output",
        _swap(x, y),
    )


def check_direction(x: Audio, y: Audio, latency: Latency) -> Finding:
    """Checks that input and output were not swapped.

    Only clear evidence counts. Either the response comes before its cause (an amp's filters ring
    after the peak, seen backwards they ring before it), and the "output" has clearly more dynamics
    or treble, which an amp takes away. Or the output is early, and has somewhat more of both.
    Measured on one real and 19 made pairs: swapped, 17 are called, at -2 dB of asymmetry or less;
    the right way round none is, at 2 dB or more but for one of -6 dB (a noisy band-pass), which
    its treble and dynamics clear. The inverse of minimum-phase filters after a mild distortion is
    causal too: such a swap shows only where the output is early.

    Args:
        x: the input.
        y: the output.
        latency: measured by cross-correlation; other methods tell no direction.
    """
    ok = Finding("direction", "ok", f"{y.path.name}: nothing says that it is the input")
    if latency.asymmetry is None:
        return ok
    spread = _level_spread(y) / max(_level_spread(x), 1e-3)
    treble = _treble(y) - _treble(x)
    backwards = latency.asymmetry < _EARLY_ASYMMETRY and (spread > 1.2 or treble > 8.0)
    early = latency.measured < _EARLY_SAMPLES and spread > 1.05 and treble > 3.0
    if not backwards and not early:
        return ok
    return Finding(
        "direction",
        "error",
        f"{y.path.name}: looks like the input of {x.path.name}: it is {-latency.measured:.0f}"
        f" samples early, with {spread:.1f} times the level spread and {treble:+.0f} dB of treble",
        _swap(x, y),
    )


def _swap(x: Audio, y: Audio) -> str:
    return f"swap them: {y.path.name} as the input and {x.path.name} as the output"


def _level_spread(audio: Audio) -> float:
    """Standard deviation in dB of the RMS of 25 ms frames within 40 dB of the loudest."""
    frame = max(round(0.025 * audio.sample_rate), 1)
    whole = audio.samples[: len(audio.samples) // frame * frame].reshape(-1, frame)
    levels = 10.0 * np.log10(np.mean(whole**2, axis=1) + 1e-12)
    return float(np.std(levels[levels > levels.max() - 40.0]))


def _treble(audio: Audio) -> float:
    """Share of the energy above a sixth of the sample rate (8 kHz at 48 kHz), in dB."""
    size = 1 << 15
    blocks = [audio.samples[i : i + size] for i in range(0, len(audio.samples), 4 * size)]
    power = sum(np.abs(np.fft.rfft(block, size)) ** 2 for block in blocks)
    return float(10.0 * np.log10((power[size // 6 :].sum() + 1e-12) / (power.sum() + 1e-12)))
