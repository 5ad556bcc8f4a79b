"""A page in headless Chromium, through a pipe in its DevTools protocol: it needs no package and no port."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe",
)  # fmt: skip


class Browser:
    """One tab. `requests` are the addresses that the page asked for, `logged` what the console said."""

    def __init__(self, read: int, write: int) -> None:
        self._reader, self._writer = os.fdopen(read, "rb", buffering=0), os.fdopen(write, "wb", buffering=0)
        self._buffer, self._number, self._session = b"", 0, ""
        self._events: list[str] = []
        self.requests: list[str] = []
        self.logged: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a command."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._writer.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            piece = self._reader.read(1 << 20)
            if not piece:
                raise RuntimeError("Chromium has gone")
            self._buffer += piece
        line, self._buffer = self._buffer.split(b"\0", 1)
        message = json.loads(line)
        name, details = message.get("method", ""), message.get("params", {})
        self._events.append(name)
        if name == "Network.requestWillBeSent":
            self.requests.append(details["request"]["url"][:200])
        elif name == "Log.entryAdded":
            self.logged.append(details["entry"]["text"])
        elif name in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.logged.append(json.dumps(details))
        return message

    def open(self, page: Path, width: int = 1280, *, dark: bool = False, media: str = "screen") -> None:
        """Load a page, as wide as said, and wait until it is complete; `requests` and `logged` begin anew."""
        self.requests, self.logged, self._events = [], [], []
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.call("Page.navigate", url=page.resolve().as_uri())
        while "Page.loadEventFired" not in self._events:
            self._receive()

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page, as JSON has it; a promise is waited for."""
        options = {"returnByValue": True, "awaitPromise": True}
        answer = self.call("Runtime.evaluate", expression=expression, **options)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """A key, down and up, with its virtual code: `press("Tab", 9)`."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def picture(self, **options: Any) -> bytes:
        """The whole page as PNG."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True, **options)
        return base64.b64decode(answer["data"])

    def print(self) -> bytes:
        """The page as PDF, as it goes to paper."""
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True)["data"])


def find_chromium() -> str | None:
    """The program, where one is installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def start_chromium(profile: Path) -> Iterator[Browser]:
    """A browser of its own, with an empty profile in a folder, ended afterwards."""
    ours_out, ours_in = os.pipe(), os.pipe()  # commands to it, answers from it
    program = f'exec "$0" "$@" 3<&{ours_out[0]} 4>&{ours_in[1]}'  # it reads from 3 and writes to 4
    command = ["bash", "-c", program, find_chromium() or NAMES[0], *FLAGS, f"--user-data-dir={profile}"]
    process = subprocess.Popen(
        command, pass_fds=(ours_out[0], ours_in[1]), env=os.environ | {"HOME": str(profile.parent)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(ours_out[0])
    os.close(ours_in[1])
    try:
        yield Browser(ours_in[0], ours_out[1])
    finally:
        process.terminate()
        process.wait(timeout=20)
