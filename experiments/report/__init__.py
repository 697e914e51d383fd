"""The reports of a capture and of a voice: one self-contained HTML page each."""

from experiments.report.capture_page import CaptureReport as CaptureReport
from experiments.report.capture_page import SizeReport as SizeReport
from experiments.report.capture_page import write_capture_report as write_capture_report
from experiments.report.voice_page import VoiceReport as VoiceReport
from experiments.report.voice_page import write_voice_report as write_voice_report
from experiments.report.words import esr_words as esr_words
