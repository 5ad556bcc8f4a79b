"""Run folders -> text, JSON and one-file HTML with plots and audio. Reads files only, never torch."""

from speechkit.report.alignments import pack_alignment, write_alignments
from speechkit.report.clips import write_clip, write_clips
from speechkit.report.compare import compare_runs
from speechkit.report.compare_page import render_comparison
from speechkit.report.compare_text import format_comparison
from speechkit.report.comparison import compare_errors, find_evaluation
from speechkit.report.folds import write_folds
from speechkit.report.formats import (
    read_events,
    read_json,
    read_log,
    read_records,
    replace_nonfinite,
    validate,
    validate_record,
    write_atomic,
    write_json,
    write_records,
)
from speechkit.report.log_csv import write_log_csv
from speechkit.report.modules import format_model
from speechkit.report.rate_range import format_rate_range, write_rate_range
from speechkit.report.run import Run, read_run
from speechkit.report.schemas import SCHEMA
from speechkit.report.subtitles import TimedWord, Transcript, format_transcript
from speechkit.report.tables import fill_document
from speechkit.report.timed_text import Span, format_ctm, format_textgrid, join_words
from speechkit.report.write import choose_worst, summarize, write_report

__all__ = [
    "SCHEMA",
    "Run",
    "choose_worst",
    "compare_errors",
    "compare_runs",
    "fill_document",
    "format_comparison",
    "render_comparison",
    "find_evaluation",
    "format_model",
    "format_rate_range",
    "pack_alignment",
    "write_alignments",
    "read_events",
    "read_json",
    "read_log",
    "read_records",
    "read_run",
    "replace_nonfinite",
    "summarize",
    "validate",
    "validate_record",
    "write_atomic",
    "write_clip",
    "write_clips",
    "write_folds",
    "write_json",
    "write_log_csv",
    "write_rate_range",
    "write_records",
    "write_report",
    "Span",
    "format_ctm",
    "format_textgrid",
    "join_words",
    "TimedWord",
    "Transcript",
    "format_transcript",
]
