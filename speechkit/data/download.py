"""Lhotse's downloaders, with a word for what can go wrong on the way."""

import http.client
import socket
import tarfile
import urllib.error
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from speechkit.errors import UserError

SILENT_SECONDS = 30.0  # a server that says nothing for so long is given up


def run_download(download: Callable[[], object], what: str, urls: list[str], folder: Path) -> None:
    """Call `download`, which fetches the archives at `urls` and unpacks them below `folder`.

    Archives cannot write elsewhere than below the folder they are unpacked in.

    Raises:
        UserError: no network, a server that refuses, an archive that is damaged; each says how to go on
    """
    by_hand = f"give the same command where there is a network, or fetch {' and '.join(urls)} by hand"
    try:
        with _patience(), _safe_unpacking():
            download()
    except urllib.error.HTTPError as error:
        found = f"{what} cannot be downloaded: {error.url} answers {error.code} {error.reason}"
        raise UserError(found, do=f"fetch {' and '.join(urls)} by hand") from error
    except urllib.error.URLError as error:
        raise UserError(f"{what} cannot be downloaded: no network ({error.reason})", do=by_hand) from error
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"{what} cannot be downloaded: {reason}", do=by_hand) from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        do = f"give the same command again; if that fails too, delete the .tar.gz files below {folder}"
        raise UserError(f"an archive of {what} is damaged or not whole: {error}", do=do) from error


@contextmanager
def _patience() -> Iterator[None]:
    """Lhotse waits for a silent server without end."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _safe_unpacking() -> Iterator[None]:
    """Archives come unencrypted over the network; Lhotse unpacks whatever they name."""
    before = vars(tarfile.TarFile).get("extraction_filter")
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    finally:
        tarfile.TarFile.extraction_filter = before
