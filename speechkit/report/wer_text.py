"""`predictions/<subset>.wer.txt`: sums as Kaldi prints them, by speaker too, and alignments as sclite does.

Kaldi: `compute-wer` and `wer_per_spk_details.pl`. NIST's sclite: its report `pralign`.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

Record = dict[str, Any]
Counts = tuple[int, int, int, int]  # correct, substituted, deleted, inserted

EDITS = ("substitutions", "deletions", "insertions")
UNITS = ("words", "phones")  # what a record may count, of its reference
GAP = "*"  # of a word's width, where the other text has a word and this one has none
_MARKS = {"C": "", "S": "S", "D": "D", "I": "I"}
_WIDE, _NO_WIDTH = ("W", "F"), ("Mn", "Me", "Cf")


def format_wer(records: Sequence[Record], notes: Sequence[tuple[str, str]] = ()) -> str:
    """The text of a subset's records; those that were skipped are listed at its end.

    notes: (name, text) pairs for its head, as how texts were normalized.

    >>> record = {"id": "a-1", "speaker": "a", "skipped": None, "alignment": [["S", "red", "bread"]],
    ...     "counts": {"correct": 0, "substitutions": 1, "deletions": 0, "insertions": 0, "words": 1}}
    >>> print("\\n".join(format_wer([record]).splitlines()[-4:]))
    Scores: (#C #S #D #I) 0 1 0 0
    REF:  red
    HYP:  bread
    Eval: S
    """
    scored = [record for record in records if record["skipped"] is None]
    head = [*_sum_up(scored, len(records)), *(f"{name}: {visible(text)}" for name, text in notes)]
    parts = ["\n".join(head)]
    if scored:
        parts.append("\n".join(_tabulate_speakers(scored)))
    parts += ["\n".join(format_alignment(record)) for record in scored]
    left_out = [record for record in records if record["skipped"] is not None]
    if left_out:
        reasons = [f"({visible(each['id'])}) {visible(each['skipped'])}" for each in left_out]
        parts.append("\n".join(["Skipped, and in none of the sums:", *reasons]))
    return "\n\n".join(parts) + "\n"


def format_alignment(record: Record) -> list[str]:
    """An utterance as sclite shows it: words one above the other, what is wrong marked below.

    Words stand as they are, where sclite writes wrong ones in capitals: here these may be other words.

    >>> alignment = [["C", "the", "the"], ["D", "red", None], ["S", "door", "doors"], ["I", None, "oh"]]
    >>> for line in format_alignment({"id": "u1", "alignment": alignment}):
    ...     print(line)
    id: (u1)
    Scores: (#C #S #D #I) 1 1 1 1
    REF:  the red door  **
    HYP:  the *** doors oh
    Eval:     D   S     I
    """
    rows: list[list[str]] = [["REF: "], ["HYP: "], ["Eval:"]]
    for sign, said, heard in record["alignment"]:
        words = [None if word is None else visible(word, "_") or "_" for word in (said, heard)]
        widths = [0 if word is None else measure(word) for word in words]
        width = max(1, *widths)
        for row, word, own in zip(rows, words, widths, strict=False):
            row.append(GAP * width if word is None else word + " " * (width - own))
        rows[2].append(_MARKS[sign].ljust(width))
    signs = [sign for sign, *_ in record["alignment"]]
    scores = " ".join(str(signs.count(sign)) for sign in "CSDI")
    lines = [f"id: ({visible(record['id'])})", f"Scores: (#C #S #D #I) {scores}"]
    return lines + [" ".join(row).rstrip() for row in rows]


def count_errors(record: Record) -> int:
    """Substitutions, deletions and insertions of an utterance."""
    return sum(record["counts"][name] for name in EDITS)


def visible(text: str, blank: str = " ") -> str:
    """A text within a line: a `blank` for whatever ends a line or parts words, control characters by number.

    >>> visible("a\\tb\\n", "_"), visible("\\x1b[31m")
    ('a_b_', '\\\\x1b[31m')
    """
    if text.isascii() and text.isprintable():  # nearly every word of many test sets
        return text.replace(" ", blank)
    signs = (blank if sign.isspace() else sign for sign in text)
    return "".join(
        sign.encode("unicode_escape").decode() if unicodedata.category(sign) in ("Cc", "Cs") else sign
        for sign in signs
    )


def measure(text: str) -> int:
    """The columns that a terminal needs: two for a wide character, none for what joins the one before.

    >>> measure("door"), measure("\u6771\u4eac"), measure("e\\u0301")
    (4, 4, 1)
    """
    return len(text) if text.isascii() and text.isprintable() else sum(map(_measure, text))


@lru_cache(maxsize=4096)
def _measure(sign: str) -> int:
    if unicodedata.category(sign) in _NO_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(sign) in _WIDE else 1


def _sum_up(records: Sequence[Record], n_all: int) -> list[str]:
    """Kaldi's three lines; of phones %PER, and of words the errors of their characters besides."""
    counts = [record["counts"] for record in records]
    unit = find_unit(records)
    _, n_sub, n_del, n_ins = _add(records)
    n_errors, n_units = n_sub + n_del + n_ins, sum(count.get(unit, 0) for count in counts)
    name = "PER" if unit == "phones" else "WER"
    lines = [f"{_rate(name, n_errors, n_units)}, {n_ins} ins, {n_del} del, {n_sub} sub ]"]
    if unit == "words":
        sums = (sum(count.get(name, 0) for count in counts) for name in ("character_errors", "characters"))
        lines.append(f"{_rate('CER', *sums)} ]")
    lines.append(f"{_rate('SER', sum(map(bool, map(count_errors, records))), len(records))} ]")
    return [*lines, f"Scored {len(records)} sentences, {n_all - len(records)} skipped."]


def _rate(name: str, n_errors: int, n_units: int) -> str:
    rate = f"{100 * n_errors / n_units:.2f}" if n_units else "nan"
    return f"%{name} {rate} [ {n_errors} / {n_units}"


def find_unit(records: Iterable[Record]) -> str:
    """What the records count of their references: words or phones."""
    return next((unit for record in records for unit in UNITS if unit in record["counts"]), UNITS[0])


def _add(records: Iterable[Record]) -> Counts:
    names = ("correct", *EDITS)
    sums = [sum(record["counts"][name] for record in records) for name in names]
    return sums[0], sums[1], sums[2], sums[3]


def _tabulate_speakers(records: Sequence[Record]) -> list[str]:
    """Kaldi's table: of each speaker the counts, and the same in percent of words and of sentences."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.get("speaker"):
            groups.setdefault(visible(record["speaker"], "_"), []).append(record)
    named = [*((name, groups[name]) for name in sorted(groups)), ("SUM", list(records))]
    unit = find_unit(records)
    names = ("#SENT", f"#{unit[:-1].upper()}", "Corr", "Sub", "Ins", "Del", "Err", "S.Err")
    rows = [["SPEAKER", "id", *names]]
    for name, group in named:
        n_correct, n_sub, n_del, n_ins = _add(group)
        n_units, n_wrong = (
            sum(record["counts"].get(unit, 0) for record in group),
            sum(map(bool, map(count_errors, group))),
        )
        sums = [n_correct, n_sub, n_ins, n_del, n_sub + n_del + n_ins]
        shares = [_percent(each, n_units) for each in sums] + [_percent(n_wrong, len(group))]
        sizes = [str(len(group)), str(n_units)]
        rows.append([name, "raw", *sizes, *map(str, sums), str(n_wrong)])
        rows.append([name, "sys", *sizes, *shares])
    return _align_columns(rows)


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.2f}" if total else "nan"


def _align_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Two columns of names to the left, then numbers to the right."""
    widths = [max(map(measure, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        blanks = [" " * (width - measure(cell)) for cell, width in zip(row, widths, strict=True)]
        names = [cell + blank for cell, blank in zip(row[:2], blanks, strict=False)]
        numbers = [blank + cell for cell, blank in zip(row[2:], blanks[2:], strict=True)]
        lines.append("  ".join(names + numbers))
    return lines
