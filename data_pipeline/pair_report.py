"""Every check on a pair of files, in order, without raising: what a user sees before training."""

from dataclasses import dataclass, replace
from pathlib import Path

from data_pipeline import checks, pair_checks
from data_pipeline.audio_files import Audio, AudioFileError, read_audio
from data_pipeline.checks import Finding
from data_pipeline.latency import (
    Latency,
    LatencyError,
    latency_from_blips,
    latency_from_playing,
    manual_latency,
)
from data_pipeline.standard_files import STANDARD_FILES, StandardFile, recognise

BATCH_SIZE = 16


@dataclass(frozen=True)
class PairReport:
    """What was found out about a pair of files.

    Attributes:
        findings: in the order of the checks.
        latency: None when it could not be told.
        standard: the layout of the input; None for a user's own DI or an unreadable input.
        input: as read; None when unreadable.
        output: as read; None when unreadable.
        train: (start, stop) of the training part, in samples, before alignment.
        validation: the same for the validation part.
    """

    findings: tuple[Finding, ...]
    latency: Latency | None = None
    standard: StandardFile | None = None
    input: Audio | None = None
    output: Audio | None = None
    train: tuple[int, int] = (0, 0)
    validation: tuple[int, int] = (0, 0)

    def errors(self, ignore_checks: bool = False) -> tuple[Finding, ...]:
        """Errors that stop a capture."""
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
    validation_seconds: float = 9.0,
    receptive_field: int = 6347,
    window: int = 8192,
    batch_size: int = BATCH_SIZE,
    standard_files: tuple[StandardFile, ...] = STANDARD_FILES,
) -> PairReport:
    """Run every check on a pair; bad data, unreadable files included, becomes error findings.

    Arguments as for load_capture. Later checks are left out where an earlier error makes them
    meaningless.
    """
    x, unreadable_input = _read(input_path, input_channel, "input_channel")
    y, unreadable_output = _read(output_path, output_channel, "output_channel")
    if x is None or y is None:
        unreadable = [finding for finding in (unreadable_input, unreadable_output) if finding]
        return PairReport(tuple(unreadable), input=x, output=y)
    standard = recognise(x, standard_files)
    findings = _file_findings(x, y, standard)
    swapped = None if standard else recognise(y, standard_files)
    findings.append(pair_checks.check_output_is_no_standard_file(x, y, swapped))
    report = PairReport(tuple(f for f in findings if f), None, standard, x, y)
    if report.errors(ignore_checks=True):
        return report
    train, validation = _parts(x, y, standard, round(validation_seconds * x.sample_rate))
    report = replace(report, train=train, validation=validation)
    try:
        found = _find_latency(x, y, standard, latency)
    except LatencyError as error:
        message, _, remedy = f"{y.path.name}: {error}".partition("; ")
        failed = Finding("latency", "error", message, remedy, ignorable=False)
        return replace(report, findings=(*report.findings, failed))
    lost = abs(found.samples)
    parts = {
        "training": train[1] - train[0] - lost,
        "validation": validation[1] - validation[0] - lost,
    }
    history = receptive_field - 1
    needed = {"training": history + window * batch_size, "validation": history + window}
    findings = (
        *report.findings,
        *_aligned_findings(x, y, standard, found),
        pair_checks.check_direction(x, y, found),
        checks.check_enough(x, parts, needed, lost),
    )
    return replace(report, findings=findings, latency=found)


def _read(
    path: str | Path, channel: int | None, option: str
) -> tuple[Audio | None, Finding | None]:
    try:
        return read_audio(path, channel), None
    except AudioFileError as error:
        message, _, remedy = str(error).replace("(channel=", f"({option}=").partition("; ")
        return None, Finding("readable", "error", message, remedy, ignorable=False)


def _file_findings(x: Audio, y: Audio, standard: StandardFile | None) -> list[Finding | None]:
    """Checks that need no latency."""
    findings: list[Finding | None] = [checks.check_rates(x, y), checks.check_player_rate(x)]
    findings.append(checks.check_lengths(x, y, standard))
    if standard is not None:
        findings.append(pair_checks.check_standard_rate(x, standard))
        findings.append(pair_checks.check_version(x, standard))
        findings.append(pair_checks.check_output_holds_all(y, standard))
    findings += [checks.check_not_silent(x), checks.check_not_silent(y)]
    findings.append(checks.check_not_identical(x, y))
    findings.append(checks.check_clipping(x, is_output=False))
    findings.append(checks.check_clipping(y, is_output=True))
    findings += [checks.check_dc_offset(x), checks.check_dc_offset(y)]
    return findings


def _aligned_findings(
    x: Audio, y: Audio, standard: StandardFile | None, latency: Latency
) -> list[Finding]:
    """Checks that need the latency, or the layout of a standard file."""
    findings: list[Finding | None] = list(pair_checks.check_latency(y, latency))
    if standard is None:
        findings.append(pair_checks.check_polarity(y, latency))
    else:
        total = len(x.samples)
        findings.append(pair_checks.check_replicates(y, standard, total))
        findings.append(pair_checks.check_blips(y, standard, latency.samples, total))
        if standard.needs_pre_silence:
            findings.append(pair_checks.check_pre_silence(x, standard.train[0], "training"))
            start = standard.validation[0]
            findings.append(pair_checks.check_pre_silence(x, start, "validation"))
    return [finding for finding in findings if finding is not None]


def _find_latency(x: Audio, y: Audio, standard: StandardFile | None, manual: int | None) -> Latency:
    """The user's latency beside the measured one, or the measured one alone."""
    try:
        if standard is not None:
            found = latency_from_blips(y.samples, standard)
        else:
            found = latency_from_playing(x.samples, y.samples, x.sample_rate)
    except LatencyError:
        if manual is None:
            raise
        found = None
    return found if manual is None else manual_latency(manual, found)


def _parts(
    x: Audio, y: Audio, standard: StandardFile | None, validation_samples: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Training and validation parts as (start, stop), after cutting both files to the shorter."""
    total = min(len(x.samples), len(y.samples))
    if standard is None:
        start = max(total - validation_samples, 0)
        return (0, start), (start, total)
    train = slice(*standard.train).indices(total)
    validation = slice(*standard.validation).indices(total)
    return train[:2], validation[:2]
