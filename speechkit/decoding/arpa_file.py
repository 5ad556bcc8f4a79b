"""The ARPA file of a search: read when it is asked for, told from others in a report."""

import hashlib
from pathlib import Path

from speechkit.decoding.arpa import read_arpa, read_order
from speechkit.decoding.ngram import NGramModel
from speechkit.errors import under_key
from speechkit.ops.search_state import State

KEY = "search.lm.arpa_file"
OTHER = f"give another file: --{KEY} PATH"


class ArpaFile:
    """A file that a YAML names; its errors say by which key, and how another file is given."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._told = ""

    def read(self) -> NGramModel:
        """The model, which the caller keeps."""
        self.describe()  # of the file as it is now: a report that is written later tells what was read
        with under_key(KEY, OTHER):
            return read_arpa(self.path)

    def describe(self) -> str:
        """The file's name, its model's order, and the begin of its sha256; found once, then kept."""
        if not self._told:
            with under_key(KEY, OTHER):
                order = read_order(self.path)
            with open(self.path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            self._told = f"{Path(self.path).name}, order {order}, sha256 {digest[:12]}"
        return self._told

    def start_blindly(self) -> State:
        """A state for the dry run of a tokenizer without tokens yet, all as good; the file must be there."""
        self.describe()
        return State(None, None)
