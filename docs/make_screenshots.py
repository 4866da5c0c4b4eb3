"""Takes the pictures of the README: the asset graph of a home, seen by headless Chromium.

Add here: a page worth showing.
Not here: prose about it (README.md).

    make screenshots          (or: python docs/make_screenshots.py --home data)

Needs Chromium (``CHROMIUM=/path/to/chromium`` or in PATH). The pictures go to ``docs/images/``.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).resolve().parent / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# A browser that talks to nobody but the UI, with a profile that is thrown away.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
UI_PATIENCE_SECONDS = 180  # dagster dev loads dbt and all definitions first
PAGE_PATIENCE_SECONDS = 90
# The graph is laid out late, in a worker: its nodes are divs inside foreignObject elements.
COUNT_NODES = "document.querySelectorAll('foreignObject').length"
IS_LOADING = "document.body.innerText.includes('Loading')"
HIDE_NAVIGATION = (
    "[...document.querySelectorAll('button')]"
    ".find(button => button.textContent == 'Hide navigation')?.click()"
)


@dataclass(frozen=True)
class Picture:
    """A page of the UI, and a window large enough that nodes show their state."""

    name: str
    path: str
    width: int
    height: int


PICTURES = (
    Picture("outreach.png", "/locations/crm_pipeline/asset-groups/outreach/lineage", 1700, 1000),
    Picture(
        "customer-360.png",
        "/assets/marts/customer_360?view=lineage&lineageScope=upstream&lineageDepth=1",
        2000,
        1500,
    ),
)


@dataclass
class Browser:
    """A Chromium driven through its debugging pipe: requests go to ``write``, answers come back."""

    write: int
    read: int
    session: str | None = None
    _buffer: bytes = b""
    _last_id: int = 0

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Sends one request and returns its result."""
        self._last_id += 1
        message: dict[str, object] = {"id": self._last_id, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next_message()
            if answer.get("id") == self._last_id:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        return self.call("Runtime.evaluate", expression=expression)["result"].get("value")

    def start_page(self) -> None:
        """Opens an empty page; everything later is said to it."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]

    def open(self, url: str, width: int, height: int) -> None:
        """Opens ``url`` in a window of this size; a graph fits itself into it once."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.call("Page.navigate", url=url)

    def save_picture(self, target: Path) -> None:
        """Writes what is to be seen as PNG."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(base64.b64decode(data))

    def _next_message(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            block = os.read(self.read, 1 << 20)
            if not block:
                raise RuntimeError("Chromium has ended")
            self._buffer += block
        message, self._buffer = self._buffer.split(b"\0", 1)
        decoded: dict[str, Any] = json.loads(message)
        return decoded


def find_chromium() -> str:
    """The browser's path, or a message that says what to install."""
    wanted = os.environ.get("CHROMIUM")
    for name in (wanted,) if wanted else BROWSERS:
        if found := shutil.which(name):
            return found
    sys.exit(
        "screenshots: Chromium was not found.\n"
        "  do: apt-get install chromium (macOS: brew install --cask chromium),\n"
        "      or say CHROMIUM=/path/to/chromium make screenshots"
    )


@contextmanager
def started_browser() -> Iterator[Browser]:
    """A Chromium with a new, empty profile."""
    to_browser, requests = os.pipe()
    answers, from_browser = os.pipe()

    def take_pipes() -> None:  # Chromium reads requests from 3 and writes answers to 4
        source, sink = os.dup(to_browser), os.dup(from_browser)
        os.dup2(source, 3)
        os.dup2(sink, 4)

    with tempfile.TemporaryDirectory() as profile:
        process = subprocess.Popen(
            [find_chromium(), *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=take_pipes,
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_browser)
        os.close(from_browser)
        try:
            yield Browser(write=requests, read=answers)
        finally:
            end(process)
            os.close(requests)
            os.close(answers)


@contextmanager
def started_ui(home: Path) -> Iterator[str]:
    """The Dagster UI of ``home`` on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    crm = Path(sys.executable).with_name("crm")
    process = subprocess.Popen(
        [crm, "ui", "--home", str(home), "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for_ui(url, process)
        yield url
    finally:
        end(process)


def wait_for_ui(url: str, process: subprocess.Popen[bytes]) -> None:
    """Returns when the UI answers."""
    deadline = time.monotonic() + UI_PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit("screenshots: the UI ended at once; run make ui to see why")
        try:
            with urllib.request.urlopen(f"{url}/server_info", timeout=5):
                return
        except OSError:
            time.sleep(1)
    sys.exit(f"screenshots: the UI did not answer within {UI_PATIENCE_SECONDS} s")


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process with its children, gently first."""
    for wish in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, wish)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                continue


def wait_until_drawn(browser: Browser) -> int:
    """Waits until the graph has nodes, as many for a while, and their state; returns how many."""
    deadline = time.monotonic() + PAGE_PATIENCE_SECONDS
    seen: list[int] = []
    while time.monotonic() < deadline:
        time.sleep(1)
        seen.append(int(browser.evaluate(COUNT_NODES) or 0))
        is_still = len(seen) >= 4 and seen[-1] > 0 and len(set(seen[-4:])) == 1
        if is_still and not browser.evaluate(IS_LOADING):
            return seen[-1]
    sys.exit("screenshots: the asset graph was not drawn in time")


def take_pictures(url: str, images: Path) -> None:
    """Takes every picture of the list."""
    with started_browser() as browser:
        browser.start_page()
        browser.open(url + PICTURES[0].path, PICTURES[0].width, PICTURES[0].height)
        wait_until_drawn(browser)
        browser.evaluate(HIDE_NAVIGATION)  # the UI remembers it
        for picture in PICTURES:
            browser.open("about:blank", picture.width, picture.height)
            browser.open(url + picture.path, picture.width, picture.height)
            nodes = wait_until_drawn(browser)
            browser.save_picture(images / picture.name)
            print(f"{images / picture.name}: {nodes} nodes")


def main() -> None:
    """Entry of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, default=Path("data"), help="a home that was run")
    parser.add_argument("--url", help="a UI that is running already; nothing is started then")
    parser.add_argument("--images", type=Path, default=IMAGES, help="folder of the pictures")
    arguments = parser.parse_args()
    find_chromium()
    if arguments.url:
        take_pictures(arguments.url, arguments.images)
        return
    with started_ui(arguments.home.absolute()) as url:
        take_pictures(url, arguments.images)


if __name__ == "__main__":
    main()
