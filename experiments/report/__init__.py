"""The reports of a capture and of a voice: one self-contained HTML page each."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.report.capture_page import CaptureReport as CaptureReport
    from experiments.report.capture_page import SizeReport as SizeReport
    from experiments.report.capture_page import write_capture_report as write_capture_report
    from experiments.report.voice_page import VoiceReport as VoiceReport
    from experiments.report.voice_page import write_voice_report as write_voice_report
    from experiments.report.words import esr_words as esr_words

# Imported at their first use: drawing takes a second to load.
_HOMES = {
    "CaptureReport": "capture_page",
    "SizeReport": "capture_page",
    "write_capture_report": "capture_page",
    "VoiceReport": "voice_page",
    "write_voice_report": "voice_page",
    "esr_words": "words",
}


def __getattr__(name: str) -> Any:
    """The class or function of this name.

    Raises:
        AttributeError: there is none.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
