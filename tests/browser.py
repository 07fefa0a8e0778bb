"""A headless Chromium, controlled over its debugging pipe: opens a page, moves the pointer, evaluates expressions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--window-size=1100,900")


class Browser:
    """One tab, controlled by DevTools protocol messages that end in a null byte; `complaints` collects its errors."""

    def __init__(self, send: int, receive: int) -> None:
        self.send, self.receive = send, receive
        self.number, self.session, self.rest = 0, "", b""
        self.complaints: list[Any] = []

    def attach(self) -> Self:
        """Open a tab and subscribe to its events."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def call(self, method: str, **parameters: Any) -> Any:
        """Send a command and return its result; events that arrive meanwhile are recorded."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        os.write(
            self.send, json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0"
        )
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def open(self, path: Path) -> None:
        """Load a file and wait until it is complete."""
        self.call("Page.navigate", url=path.as_uri())
        while self.value("document.readyState") != "complete" or self.value("location.href") == "about:blank":
            pass

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def point_at(self, selector: str, *, click: bool = False) -> None:
        """Move the pointer to the middle of an element."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y = self.value(f"[{box}.x + {box}.width / 2, {box}.y + {box}.height / 2]")
        for kind in ("mouseMoved", *(("mousePressed", "mouseReleased") if click else ())):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=int(click))

    def press(self, key: str) -> None:
        """Press and release a key."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def _next(self) -> Any:
        while b"\0" not in self.rest:
            data = os.read(self.receive, 1 << 20)
            assert data, "the browser has exited"
            self.rest += data
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def _note(self, event: Any) -> None:
        """Record errors of the page and its network requests."""
        method, params = event.get("method"), event.get("params", {})
        requested = method == "Network.requestWillBeSent" and not params["request"]["url"].startswith(
            ("file:", "data:")
        )
        if requested or method in ("Runtime.exceptionThrown", "Log.entryAdded"):
            self.complaints.append(params)


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser with a profile folder of its own, closed at the end."""
    ours_in, theirs_out = os.pipe()
    theirs_in, ours_out = os.pipe()

    # Chromium reads from file descriptor 3 and writes to 4; the shell moves the pipe's ends there.
    shell = ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash"]
    process = subprocess.Popen(
        [*shell, str(CHROMIUM), *_OPTIONS, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(ours_out, ours_in).attach()
    finally:
        os.close(ours_out)
        process.terminate()
        process.wait()
        os.close(ours_in)
