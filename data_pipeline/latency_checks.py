"""Checks of the latency that was found, and of the polarity that comes with it."""

from data_pipeline.audio_files import Audio
from data_pipeline.checks import Finding
from data_pipeline.latency import Latency

EARLY = -10  # samples of latency, which no recording has
_MANUAL_TOLERANCE_SECONDS = 0.002


def check_latency(y: Audio, latency: Latency) -> list[Finding]:
    """Warns of a doubtful measurement, an early output, or a manual value far from it."""
    findings = []
    for warning in latency.warnings:
        message, _, remedy = f"{y.path.name}: {warning}".partition("; ")
        findings.append(Finding("latency", "warning", message, remedy))
    if latency.measured is not None and latency.measured < EARLY:
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
