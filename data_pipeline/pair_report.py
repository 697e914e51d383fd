"""Runs every check on a pair of files, in order, without raising."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data_pipeline import checks, direction_checks, latency_checks, standard_checks, timing_checks
from data_pipeline.audio_files import Audio, read_audio
from data_pipeline.checks import Finding
from data_pipeline.latency import (
    Latency,
    far_latency,
    latency_from_blips,
    latency_from_playing,
    manual_latency,
)
from data_pipeline.standard_files import STANDARD_FILES, StandardFile, recognize
from data_pipeline.timing import Timing, best_esr, measure_timing
from wf_jax.errors import UserError

BATCH_SIZE = 16


@dataclass(frozen=True)
class Used:
    """The used part of the files, and drift correction.

    Attributes:
        start_seconds: first second of both files that is used, over a user's own DI.
        stop_seconds: second at which that ends; 0 for the end of the files.
        correct_drift: whether the output is resampled where its clock differs from the input's.
    """

    start_seconds: float = 0.0
    stop_seconds: float = 0.0
    correct_drift: bool = False

    @property
    def is_part(self) -> bool:
        """True if only a part of both files is used."""
        return self.start_seconds != 0.0 or self.stop_seconds != 0.0


ALL = Used()


@dataclass(frozen=True)
class PairReport:
    """The findings about a pair of files.

    Attributes:
        findings: in the order of the checks.
        latency: None when it could not be told.
        timing: the delay over time; None when it could not be followed.
        standard: the layout of the input; None for a user's own DI or an unreadable input.
        input: the part that is used; None when unreadable.
        output: the same part, as long as the input where that is a standard file, and resampled
            where that was asked for; None when unreadable.
        train: (start, stop) of the training part, in samples, before alignment.
        validation: the same for the validation part.
    """

    findings: tuple[Finding, ...]
    latency: Latency | None = None
    timing: Timing | None = None
    standard: StandardFile | None = None
    input: Audio | None = None
    output: Audio | None = None
    train: tuple[int, int] = (0, 0)
    validation: tuple[int, int] = (0, 0)

    def errors(self, ignore_checks: bool = False) -> tuple[Finding, ...]:
        """Findings that stop a capture."""
        return tuple(
            finding
            for finding in self.findings
            if finding.level == "error" and not (ignore_checks and finding.ignorable)
        )


def check_capture(
    input_path: str | Path,
    output_path: str | Path,
    *,
    input_channel: int | None = None,
    output_channel: int | None = None,
    latency: int | None = None,
    used: Used = ALL,
    validation_seconds: float = 9.0,
    receptive_field: int = 6347,
    window: int = 8192,
    batch_size: int = BATCH_SIZE,
    standard_files: tuple[StandardFile, ...] = STANDARD_FILES,
) -> PairReport:
    """Runs every check on a pair; bad data, even an unreadable file, becomes error findings.

    Arguments as for load_capture. Later checks are left out where an earlier error makes them
    meaningless.
    """
    x, unreadable_input = _read(input_path, input_channel, "input_channel")
    y, unreadable_output = _read(output_path, output_channel, "output_channel")
    if x is None or y is None:
        unreadable = [finding for finding in (unreadable_input, unreadable_output) if finding]
        return PairReport(tuple(unreadable), input=x, output=y)
    standard = recognize(x, standard_files)
    lengths = checks.check_lengths(x, y, standard)
    if used.is_part:
        findings = [checks.check_used(x, y, used.start_seconds, used.stop_seconds, standard)]
        if findings[0].level == "error":
            return PairReport(tuple(findings), None, None, standard, x, y)
        x, y = (_part_of(audio, used) for audio in (x, y))
    else:
        findings = [lengths]
    short = [checks.check_not_too_short(audio) for audio in (x, y)]
    if any(short):
        return PairReport(tuple(filter(None, short)), None, None, standard, x, y)
    findings += _file_findings(x, y, standard)
    swapped = None if standard else recognize(y, standard_files)
    findings.append(direction_checks.check_output_is_no_standard_file(x, y, swapped))
    y = _padded(y, len(x.samples)) if standard and lengths.level != "error" else y
    report = PairReport(tuple(f for f in findings if f), None, None, standard, x, y)
    if report.errors(ignore_checks=True):
        return report
    history = receptive_field - 1
    needed = {"training": history + window * batch_size, "validation": history + window}
    report = _with_parts(report, round(validation_seconds * x.sample_rate), history, needed)
    if report.errors(ignore_checks=True):
        return report
    report = _in_step(report, latency, used)
    x, y, train, validation = report.input, report.output, report.train, report.validation
    try:
        found = _find_latency(x, y, standard, latency)
    except UserError as error:
        message, _, remedy = f"{y.path.name}: {error}".partition("; ")
        if report.timing is not None and not report.timing.is_steady:
            remedy = "mend its timing first (see above), or give the latency by hand"
        failed = Finding("latency", "error", message, remedy, ignorable=False)
        return replace(report, findings=(*report.findings, failed))
    lost = abs(found.samples)
    parts = {
        "training": train[1] - train[0] - lost,
        "validation": validation[1] - validation[0] - lost,
    }
    findings = (
        *report.findings,
        *_aligned_findings(x, y, standard, found),
        direction_checks.check_direction(x, y, found),
        timing_checks.check_dropouts(x, y, found.samples, standard is None),
        checks.check_enough(x, parts, needed, lost),
    )
    return replace(report, findings=findings, latency=found)


def _read(
    path: str | Path, channel: int | None, option: str
) -> tuple[Audio | None, Finding | None]:
    try:
        return read_audio(path, channel), None
    except UserError as error:
        message, _, remedy = str(error).replace("(channel=", f"({option}=").partition("; ")
        return None, Finding("readable", "error", message, remedy, ignorable=False)


def _file_findings(x: Audio, y: Audio, standard: StandardFile | None) -> list[Finding | None]:
    """Runs the checks that need no latency."""
    findings: list[Finding | None] = [checks.check_rates(x, y), checks.check_player_rate(x)]
    if standard is not None:
        findings.append(standard_checks.check_standard_rate(x, standard))
        findings.append(standard_checks.check_version(x, standard))
        findings.append(standard_checks.check_output_holds_all(y, standard))
    findings += [checks.check_not_silent(x), checks.check_not_silent(y)]
    findings += [checks.check_di_level(x), checks.check_not_identical(x, y)]
    findings.append(checks.check_clipping(x, is_output=False))
    findings.append(checks.check_clipping(y, is_output=True))
    findings += [checks.check_dc_offset(x), checks.check_dc_offset(y)]
    return findings


def _with_parts(
    report: PairReport, validation_samples: int, history: int, needed: dict[str, int]
) -> PairReport:
    """Splits into parts and checks the samples that are trained on and judged by."""
    x, y, can_cut = report.input, report.output, report.standard is None
    train, validation = _parts(x, y, report.standard, validation_samples)
    findings, spans = [], []
    for name, (start, stop) in (("training", train), ("validation", validation)):
        spans.append((start + history, stop))
        if stop - start >= needed[name]:  # or it is too short, which is said with the latency
            label = "held-out" if name == "validation" else name
            findings.append(checks.check_part(x, label, (start, stop), can_cut))
            findings.append(checks.check_part(y, label, spans[-1], can_cut))
    if len(findings) == 4 and all(finding.level == "ok" for finding in findings):
        findings.append(checks.check_part_levels(y, *spans))
    findings = (*report.findings, *findings)
    return replace(report, findings=findings, train=train, validation=validation)


def _in_step(report: PairReport, manual: int | None, used: Used) -> PairReport:
    """Measures the delay over time, after drift correction where it is asked for."""
    x, y, standard = report.input, report.output, report.standard
    findings, offset = [], manual or 0
    timing = measure_timing(x.samples, y.samples, x.sample_rate, offset)
    if used.correct_drift and timing is not None and timing.drift:
        once, _ = timing_checks.without_drift(y, timing.drift)
        rest = measure_timing(x.samples, once.samples, x.sample_rate, offset)  # finer by now
        drift = timing.drift + (rest.finest_drift if rest else 0.0)
        y, done = timing_checks.without_drift(y, drift)
        y = _padded(y, len(x.samples)) if standard else y
        findings.append(done)
        timing = measure_timing(x.samples, y.samples, x.sample_rate, offset)
        report = replace(report, output=y)
    held_out = report.validation[1] - report.validation[0]
    train, validation = _parts(x, y, standard, held_out)
    cost = best_esr(timing, y.samples, train, validation) if timing is not None else 0.0
    findings.append(timing_checks.check_timing(x, y, timing, cost, standard is None))
    findings = (*report.findings, *findings)
    return replace(report, findings=findings, timing=timing, train=train, validation=validation)


def _part_of(audio: Audio, used: Used) -> Audio:
    start = round(used.start_seconds * audio.sample_rate)
    stop = round(used.stop_seconds * audio.sample_rate) or None
    return replace(audio, samples=audio.samples[start:stop], start=start)


def _padded(audio: Audio, total: int) -> Audio:
    """Pads with silence at the end to at least `total` samples."""
    missing = max(total - len(audio.samples), 0)
    return replace(audio, samples=np.pad(audio.samples, (0, missing)))


def _aligned_findings(
    x: Audio, y: Audio, standard: StandardFile | None, latency: Latency
) -> list[Finding]:
    """Runs the checks that need the latency, or the layout of a standard file."""
    findings: list[Finding | None] = list(latency_checks.check_latency(y, latency))
    if standard is None:
        findings.append(latency_checks.check_polarity(y, latency))
    else:
        total = len(x.samples)
        findings.append(standard_checks.check_replicates(y, standard, total))
        findings.append(standard_checks.check_blips(y, standard, latency.samples, total))
        if standard.needs_pre_silence:
            findings.append(standard_checks.check_pre_silence(x, standard.train[0], "training"))
            start = standard.validation[0]
            findings.append(standard_checks.check_pre_silence(x, start, "validation"))
    return [finding for finding in findings if finding is not None]


def _find_latency(x: Audio, y: Audio, standard: StandardFile | None, manual: int | None) -> Latency:
    """Measures the latency, and keeps a user's value beside it."""
    try:
        if standard is not None:
            found = latency_from_blips(y.samples, standard)
        else:
            found = latency_from_playing(x.samples, y.samples, x.sample_rate)
    except UserError:
        if manual is None:
            far = None if standard else far_latency(x.samples, y.samples, x.sample_rate)
            if far is None:
                raise
            size = f"{abs(far) / x.sample_rate:.3f} s ({abs(far)} samples)"
            fault = f"its first {size} are missing" if far < 0 else f"it begins {size} late"
            raise UserError(
                f"{fault}; export it again from the start of {x.path.name}, or give the latency"
                f" by hand (latency={far})"
            ) from None
        found = None
    return found if manual is None else manual_latency(manual, found)


def _parts(
    x: Audio, y: Audio, standard: StandardFile | None, validation_samples: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Returns training and validation parts (start, stop) of both files cut to the shorter one."""
    total = min(len(x.samples), len(y.samples))
    if standard is None:
        start = max(total - validation_samples, 0)
        return (0, start), (start, total)
    train = slice(*standard.train).indices(total)
    validation = slice(*standard.validation).indices(total)
    return train[:2], validation[:2]
