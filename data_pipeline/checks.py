"""Checks of a recorded pair: one small pure function and one line of output each.

Thresholds of the checks of standard files are those of the trainer neural-amp-modeler 0.13.0; the
others are this project's own.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from data_pipeline.audio_files import Audio
from data_pipeline.standard_files import StandardFile
from wf_jax.plurals import counted

PLAYER_RATE = 48_000
MAX_LENGTH_DIFFERENCE = 1.0  # seconds
SMALL_DIFFERENCE = 0.1  # seconds; no more than an export's rounding
LEAST_SECONDS = 1.0  # of a recording that is looked at
SILENT_PEAK = 1e-4  # -80 dBFS
QUIET_PEAK = 1e-2  # -40 dBFS
QUIET_DI_PEAK = 10.0 ** (-26.0 / 20.0)  # 20 dB below where a DI usually peaks
USUAL_DI_PEAK = -6.0  # dBFS
QUIET_PART = 40.0  # dB that the held-out part may be below the training part
DC_RATIO = 0.05  # of the RMS; an offset left unmodeled then adds 0.0025 to the ESR
FLAT_RUN = 3
FLAT_EDGE = 4.0 / 2**15  # a run that a 16-bit sine's rounded top makes steps by one unit only


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        check: its name.
        level: "error" stops a capture.
        message: one line with file and value.
        remedy: an action; empty where none is needed.
        ignorable: whether the user may go on in spite of an error.
    """

    check: str
    level: Literal["ok", "note", "warning", "error"]
    message: str
    remedy: str = ""
    ignorable: bool = True

    def line(self) -> str:
        """Message and remedy on one line."""
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


def check_rates(x: Audio, y: Audio) -> Finding:
    """Requires the same sample rate of input and output."""
    if x.sample_rate == y.sample_rate:
        return Finding("rates", "ok", f"both files are at {x.sample_rate} Hz")
    return Finding(
        "rates",
        "error",
        f"{y.path.name}: {y.sample_rate} Hz, but {x.path.name} is at {x.sample_rate} Hz",
        "record or export both at the same rate",
        ignorable=False,
    )


def check_player_rate(x: Audio) -> Finding:
    """Warns of a rate other than 48 kHz, which players expect."""
    if x.sample_rate == PLAYER_RATE:
        return Finding("player rate", "ok", f"{PLAYER_RATE} Hz is what players expect")
    return Finding(
        "player rate",
        "note",
        f"{x.path.name}: {x.sample_rate} Hz; most players run models at {PLAYER_RATE} Hz",
        f"record at {PLAYER_RATE} Hz unless your player resamples",
    )


def check_lengths(x: Audio, y: Audio, standard: StandardFile | None) -> Finding:
    """Compares lengths: a standard file's output may be up to 1 s longer, others 1 s off.

    A missing end of up to 0.1 s is only a note: silence replaces it in a standard file, whose parts
    are counted from the end.
    """
    missing = len(x.samples) - len(y.samples)
    difference = -missing / x.sample_rate
    lowest = -MAX_LENGTH_DIFFERENCE if standard is None else -SMALL_DIFFERENCE
    message = (
        f"{y.path.name}: {y.seconds:.3f} s, {duration(abs(missing), x.sample_rate)}"
        f" {'longer' if missing < 0 else 'shorter'} than {x.path.name}"
    )
    if not lowest <= difference <= MAX_LENGTH_DIFFERENCE:
        return Finding(
            "lengths",
            "error",
            message,
            f"export it from the start of {x.path.name}, {-lowest:g} s shorter"
            f" to {MAX_LENGTH_DIFFERENCE:g} s longer",
            ignorable=False,
        )
    if standard is None and missing:
        remedy = "both are cut to the shorter; check that they start at the same time"
        level = "note" if abs(difference) <= SMALL_DIFFERENCE else "warning"
        return Finding("lengths", level, message, remedy)
    if missing > 0:
        return Finding("lengths", "note", message, "silence is put in place of what is missing")
    return Finding("lengths", "ok", f"{y.path.name}: {y.seconds:.3f} s fits {x.path.name}")


def duration(samples: int, sample_rate: int) -> str:
    """Formats seconds with three decimals, or samples where those would all be zero."""
    if round(samples / sample_rate, 3):
        return f"{samples / sample_rate:.3f} s"
    return counted(samples, "sample")


def check_enough(x: Audio, parts: dict[str, int], needed: dict[str, int], lost: int) -> Finding:
    """Requires in each part as many samples as training reads from it.

    Args:
        x: the input file.
        parts: samples that each part ("training", "validation") has after alignment.
        needed: samples that each part must have.
        lost: samples that alignment takes from each part.
    """
    for name, samples in parts.items():
        if samples < needed[name]:
            seconds = (needed[name] + lost) / x.sample_rate
            total = seconds + len(x.samples) / x.sample_rate
            total -= max(parts[name] + lost, 0) / x.sample_rate
            total, seconds = np.ceil(10.0 * total) / 10.0, np.ceil(100.0 * seconds) / 100.0
            remedies = {
                "training": f"record at least {total:.1f} s, or shorten the validation part",
                "validation": f"make the validation part {seconds:.2f} s or longer",
            }
            return Finding(
                "too short",
                "error",
                f"{x.path.name}: {x.seconds:.2f} s leave {max(samples, 0) / x.sample_rate:.2f} s of"
                f" {name}, but the model needs {needed[name] / x.sample_rate:.2f} s"
                f" ({needed[name] - max(samples, 0)} samples more)",
                remedies[name],
                ignorable=False,
            )
    seconds = ", ".join(f"{n / x.sample_rate:.1f} s of {name}" for name, n in parts.items())
    return Finding("too short", "ok", f"{x.path.name}: {seconds}")


def check_not_too_short(audio: Audio) -> Finding | None:
    """Refuses files below LEAST_SECONDS, on which no other check is reliable."""
    if audio.seconds >= LEAST_SECONDS:
        return None
    return Finding(
        "length",
        "error",
        f"{audio.path.name}: {len(audio.samples)} samples are no recording",
        "record a few minutes",
        ignorable=False,
    )


def check_not_silent(audio: Audio) -> Finding:
    """Refuses a peak below -80 dBFS as silence, warns of one below -40 dBFS."""
    peak = float(np.max(np.abs(audio.samples)))
    level = f"{20.0 * np.log10(peak):.0f} dBFS" if peak > 0.0 else "exactly zero"
    if peak < SILENT_PEAK:
        return Finding(
            "level",
            "error",
            f"{audio.path.name}: is silent, its peak is {level}",
            "check the cabling and which channel was recorded",
            ignorable=False,
        )
    if peak < QUIET_PEAK:
        return Finding(
            "level",
            "warning",
            f"{audio.path.name}: is very quiet, its peak is {level}",
            "raise the recording gain, so that noise and rounding do not get captured",
        )
    return Finding("level", "ok", f"{audio.path.name}: peak {level}")


def check_di_level(x: Audio) -> Finding:
    """Notes a DI that peaks below -26 dBFS: it says little of how the amp answers to force."""
    peak = 20.0 * np.log10(max(float(np.max(np.abs(x.samples))), 1e-10))
    rms = 10.0 * np.log10(max(float(np.mean(x.samples**2)), 1e-20))
    message = f"{x.path.name}: peak {peak:.0f} dBFS, RMS {rms:.0f} dBFS"
    if peak >= 20.0 * np.log10(QUIET_DI_PEAK):
        return Finding("DI level", "ok", message)
    return Finding(
        "DI level",
        "note",
        f"{message}, {USUAL_DI_PEAK - peak:.0f} dB below where a DI usually peaks"
        f" ({USUAL_DI_PEAK:g} dBFS)",
        "raise the input gain or the level of the reamp and record again: a model knows only what"
        " it has heard",
    )


def check_part(audio: Audio, name: str, span: tuple[int, int], can_cut: bool) -> Finding:
    """Refuses a training or held-out part that is silent or constant.

    Args:
        audio: input or output.
        name: name of the part, "training" or "held-out".
        span: (start, stop), in samples.
        can_cut: whether the user may choose the part of the files that is used.
    """
    samples = audio.samples[slice(*span)]
    where = f"{name} part ({audio.time_of(span[0]):.2f} to {audio.time_of(span[1]):.2f} s)"
    peak = float(np.max(np.abs(samples), initial=0.0))
    swing = 0.5 * float(np.ptp(samples)) if len(samples) else 0.0
    if min(peak, swing) >= SILENT_PEAK:
        return Finding("parts", "ok", f"{audio.path.name}: the {where} is not silent")
    state = "silent" if peak < SILENT_PEAK else "constant"
    remedy = "record again"
    first, last = (audio.time_of(position) for position in _playing(audio.samples))
    if can_cut and last - first > 0.5 * audio.seconds:
        remedy += (
            f", or use only where it plays (start_seconds={first:.2f}, stop_seconds={last:.2f})"
        )
    level = f"{peak:.2g}" if peak else "zero"
    return Finding(
        "parts",
        "error",
        f"{audio.path.name}: the {where} is {state}, its peak is {level}",
        remedy,
        ignorable=False,
    )


def check_part_levels(y: Audio, train: tuple[int, int], validation: tuple[int, int]) -> Finding:
    """Warns of a held-out part far quieter than the training part."""
    levels = [np.sqrt(np.mean(y.samples[slice(*part)] ** 2)) for part in (train, validation)]
    below = 20.0 * float(np.log10(max(levels[0], 1e-10) / max(levels[1], 1e-10)))
    side = "below" if below > 0 else "above"
    far = f"{abs(below):.0f} dB {side}" if abs(below) > 0.5 else "as loud as"
    message = f"{y.path.name}: the held-out part is {far} the training part"
    if below < QUIET_PART:
        return Finding("part levels", "ok", message)
    remedy = "play as loud at the end: the ESR says little over near silence"
    return Finding("part levels", "warning", message, remedy)


def check_clipping(audio: Audio, is_output: bool) -> Finding:
    """Finds peaks at full scale (an error in the output), or a flat top below it (a warning)."""
    gain = "the interface's input gain" if is_output else "the level of the DI"
    height = np.abs(audio.samples)
    at = int(np.argmax(height))
    peak = float(height[at])
    where = f"{audio.path.name}: peak {peak:#.4g} at {audio.time_of(at):.2f} s"
    remedy = f"lower {gain} and record again"
    if peak >= 1.0:
        level = "error" if is_output else "warning"
        return Finding("clipping", level, f"{where} is clipped", remedy)
    run = _flat_top(audio.samples, peak)
    if run >= FLAT_RUN:
        message = f"{where} has a flat top of {run} samples: it looks clipped before the recording"
        return Finding("clipping", "warning", message, remedy)
    return Finding("clipping", "ok", f"{where} is not clipped")


def check_dc_offset(audio: Audio) -> Finding:
    """Warns of a mean that is large against the RMS."""
    mean, rms = float(audio.samples.mean()), float(np.sqrt(np.mean(audio.samples**2)))
    if abs(mean) <= DC_RATIO * rms:
        return Finding("DC offset", "ok", f"{audio.path.name}: DC offset {mean:+.5f}")
    return Finding(
        "DC offset",
        "warning",
        f"{audio.path.name}: DC offset {mean:+#.4g}, {100.0 * abs(mean) / rms:.0f}% of its RMS",
        "remove it with a high-pass at 5 Hz, or check the interface",
    )


def check_not_identical(x: Audio, y: Audio) -> Finding:
    """Refuses the same audio as input and output."""
    shorter = min(len(x.samples), len(y.samples))
    if not np.array_equal(x.samples[:shorter], y.samples[:shorter]):
        return Finding("identical", "ok", "input and output differ")
    return Finding(
        "identical",
        "error",
        f"{y.path.name}: holds the same audio as {x.path.name}",
        "give the recording of the amp as the output",
    )


def _playing(samples: np.ndarray, frame: int = 480) -> tuple[int, int]:
    """Returns (start, stop) of the audio between the silent or constant frames at both ends."""
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    loud = np.flatnonzero(np.ptp(frames, axis=1) >= 2.0 * SILENT_PEAK)
    return (int(loud[0]) * frame, int(loud[-1] + 1) * frame) if len(loud) else (0, 0)


def _flat_top(samples: np.ndarray, peak: float) -> int:
    """Returns the longest run at the peak of one sign, with steps beyond rounding at both ends."""
    longest = 0
    for sign in (1.0, -1.0):
        padded = np.concatenate([[0.0], sign * samples, [0.0]])
        edges = np.flatnonzero(np.diff((padded == peak).astype(np.int8)))
        for start, stop in edges.reshape(-1, 2):  # padded[start + 1 : stop + 1] is at the peak
            if min(peak - padded[start], peak - padded[stop + 1]) > FLAT_EDGE:
                longest = max(longest, int(stop - start))
    return longest


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
