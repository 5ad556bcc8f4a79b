"""Whose run is it? Only a run that this user trained may say which train.py is run for it.

`run.json` is data, and may come from a stranger. What a training of one's own writes into it is signed with a
key that never leaves this user's folder of state, as notebooks sign what may be executed.
"""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

KEY_BYTES = 32


def sign(text: str) -> str | None:
    """The signature of a text by this user; None where no key can be kept."""
    try:
        key = _read_key() or _make_key()
    except OSError:
        return None
    return _signature(key, text)


def is_own(text: str, signature: str | None) -> bool:
    """Whether this user signed the text."""
    try:
        key = _read_key()
    except OSError:
        return False
    return bool(key and signature) and hmac.compare_digest(_signature(key, text), str(signature))


def key_file() -> Path:
    """Where the key is: in $XDG_STATE_HOME, by default ~/.local/state."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "speechkit" / "run-key"


def _signature(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def _read_key() -> bytes:
    path = key_file()
    key = path.read_bytes() if path.is_file() else b""
    return key if len(key) == KEY_BYTES else b""


def _make_key() -> bytes:
    path = key_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f".run-key-{secrets.token_hex(8)}")
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))
    try:
        os.link(aside, path)  # unlike a rename it keeps the key of another process that came first
    except FileExistsError:
        if not _read_key():  # a key cut short
            os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    return _read_key()
