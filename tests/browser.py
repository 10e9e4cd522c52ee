"""Pages as a browser and a parser see them, and what a hostile page would try."""

import json
import os
import select
import shutil
import subprocess
import sys
from html.parser import HTMLParser

from helpers import missing

LONG = "n" * 300
HOSTILE = [
    "<script>window.pwned = 1</script>",
    '"><img src=x onerror="window.pwned=1">',
    "</script><script>window.pwned = 1</script>",
    "<!--<script>",
    "$\\frac{1}{0}$ $",
    "[/b]'quotes'\"",
    LONG,
    "abc\u202edcba\u202c",
    "\x1b[31mred",
    '=HYPERLINK("x")',
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "{{ 7 * 7 }} &amp;",
    "遺伝子",
]


BREAK_IN = (
    "document.body.append(Object.assign(document.createElement('script'), {text: 'window.pwned = 1'})),"
    "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.pwned = 1\">'),"
    "new Promise(done => setTimeout(done, 300))"
)


class Page(HTMLParser):
    """Elements and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.inside, self.content = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.content.append("")
        if tag not in ("meta", "img", "br", "input", "link"):
            self.inside.append(len(self.elements) - 1)

    def handle_endtag(self, tag):
        while self.inside and self.elements[self.inside.pop()][0] != tag:
            pass

    def handle_data(self, data):
        if self.inside:
            self.content[self.inside[-1]] += data

    def all(self, tag):
        return [(a, c) for (t, a), c in zip(self.elements, self.content, strict=True) if t == tag]


_LAUNCH = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3])
os.dup2(read, 3)
os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """Headless Chromium, spoken to through a pipe (DevTools protocol)."""

    def __init__(self, program, profile):
        options = [
            "--headless",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
        ]
        if os.geteuid() == 0:
            options.append("--no-sandbox")
        its_read, self._write = os.pipe()
        self._read, its_write = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, str(its_read), str(its_write), program, *options],
            pass_fds=(its_read, its_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(its_read)
        os.close(its_write)
        self._left, self._last, self._session, self.events = b"", 0, None, []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self(f"{domain}.enable")

    def __call__(self, method, **params):
        """Call a method of the protocol and return its result."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == message["id"]:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self, seconds=120):
        while b"\0" not in self._left:
            if not select.select([self._read], [], [], seconds)[0]:
                raise TimeoutError("the browser does not answer")
            found = os.read(self._read, 1 << 20)
            if not found:
                raise EOFError("the browser has ended")
            self._left += found
        message, _, self._left = self._left.partition(b"\0")
        message = json.loads(message)
        if "method" in message:
            self.events.append(message)
        return message

    def open(self, path, width=1440, height=900, unfold=True):
        """Show a file, the parts that are folded at first opened; ``events`` then holds what happened."""
        self(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.events.clear()
        self("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._next()
        if unfold:
            self.run("document.querySelectorAll('details.fold').forEach(fold => { fold.open = true })")

    def run(self, script):
        """Evaluate an expression in the page; a promise is waited for."""
        answer = self("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def complaints(self):
        """Errors, warnings and dialogs since the page was opened."""
        bad = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [e for e in self.events if e["method"] in (*bad, "Page.javascriptDialogOpening")]

    def requests(self):
        """Addresses asked for since the page was opened, those inside the page left out."""
        asked = [
            e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in asked if not url.startswith("data:")]

    def press(self, key, text=""):
        """Press and release a key."""
        code = {"Tab": 9, "Enter": 13, "ArrowRight": 39}[key]
        for kind in ("keyDown", "keyUp"):
            extra = {"text": text} if text and kind == "keyDown" else {}
            self("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **extra)

    def close(self):
        os.close(self._write)
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)


def find_chromium():
    """Path of a Chromium; without one the test is skipped, except under ``CI=true``: there it fails."""
    for name in ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome"):
        if found := shutil.which(name):
            return found
    return missing("Chromium (Debian, Ubuntu: apt install chromium)")
