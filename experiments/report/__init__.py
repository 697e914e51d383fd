"""The report of a capture: one self-contained HTML page."""

from experiments.report.page import CaptureReport as CaptureReport
from experiments.report.page import SizeReport as SizeReport
from experiments.report.page import write_capture_report as write_capture_report
from experiments.report.words import esr_words as esr_words
