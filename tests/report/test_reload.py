"""The page of a study that is watched reloads itself where the reader is; that of a finished one never does."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from made_study import Made
from test_page import check_contained

from valuedrift.report import build_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"


def test_only_a_watched_page_says_that_it_reloads(demo_inputs: Made) -> None:
    finished, watched = build_report(demo_inputs), build_report(demo_inputs, watched=True)
    for sign in ("data-reload", 'http-equiv="refresh"', "location.reload", "still watched"):
        assert sign in watched and sign not in finished
    check_contained(watched)  # its script is the one that the page allows, and it loads nothing


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Headless Chromium; gives the value of an expression in its one page."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    from websockets.sync.client import connect

    profile = tmp_path / "profile"
    command = [CHROMIUM, *QUIET.split(), f"--user-data-dir={profile}", "--remote-debugging-port=0", "--window-size=900,700", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until, port = time.monotonic() + 60, profile / "DevToolsActivePort"
        while not port.exists() or not port.read_text(encoding="utf-8").strip():
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.1)
        with urllib.request.urlopen(f"http://127.0.0.1:{port.read_text(encoding='utf-8').splitlines()[0]}/json") as listed:
            page = next(one for one in json.load(listed) if one["type"] == "page")
        with connect(page["webSocketDebuggerUrl"], max_size=None) as socket:

            def send(method: str, **parameters: Any) -> Any:
                send.number += 1  # type: ignore[attr-defined]
                socket.send(json.dumps({"id": send.number, "method": method, "params": parameters}))  # type: ignore[attr-defined]
                while (answer := json.loads(socket.recv(60))).get("id") != send.number:  # type: ignore[attr-defined]
                    pass
                return answer.get("result", {})

            send.number = 0  # type: ignore[attr-defined]

            def evaluate(expression: str) -> Any:
                if expression.startswith("file:"):
                    return send("Page.navigate", url=expression)
                return send("Runtime.evaluate", expression=expression).get("result", {}).get("value")

            yield evaluate
    finally:
        process.terminate()
        process.wait(30)


def _until(evaluate: Callable[[str], Any], expression: str, seconds: float = 30) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if evaluate(expression):
            return True
        time.sleep(0.1)
    return False


STATE = """JSON.stringify({
  open: [...document.querySelectorAll('details')].map((fold) => fold.open), filter: document.getElementById('filter').value,
  sorted: [...document.querySelectorAll('th[aria-sort]')].map((head) => head.textContent + head.getAttribute('aria-sort')),
  shown: document.querySelectorAll('table.drift tbody tr:not([hidden])').length,
  at: Math.round(document.querySelector('#figures, #topics, main section:nth-of-type(4)').getBoundingClientRect().top)})"""


@pytest.mark.slow
def test_an_open_page_reloads_keeps_where_the_reader_is_and_stops_with_the_study(
    demo_inputs: Made, browser: Callable[[str], Any], tmp_path: Path
) -> None:
    page = tmp_path / "report.html"

    def write(text: str, *, watched: bool) -> None:
        built = build_report(demo_inputs, watched=watched).replace("<h1>", f"<h1>{text} ", 1)
        page.write_text(re.sub(r'data-reload="\d+"', 'data-reload="2"', built), encoding="utf-8")

    write("first", watched=True)
    browser(page.as_uri())
    assert _until(browser, "document.readyState === 'complete' && document.querySelector('h1')?.textContent.startsWith('first')")
    browser("document.querySelectorAll('details').forEach((fold, at) => { fold.open = at % 3 === 1; })")
    browser("document.querySelector('table.sortable th').click()")
    browser("{ const f = document.getElementById('filter'); f.value = 'support'; f.dispatchEvent(new Event('input')); }")
    browser("document.querySelector('main section:nth-of-type(4)').scrollIntoView(); scrollBy(0, 120)")
    before = browser(STATE)
    assert json.loads(before)["filter"] == "support" and any(json.loads(before)["open"])
    write("second", watched=True)
    assert _until(browser, "document.readyState === 'complete' && document.querySelector('h1')?.textContent.startsWith('second')")
    assert _until(browser, f"{STATE} === {json.dumps(before)}", 5), (before, browser(STATE))

    write("last", watched=False)
    assert _until(browser, "document.readyState === 'complete' && document.querySelector('h1')?.textContent.startsWith('last')")
    write("after", watched=False)
    assert not _until(browser, "document.querySelector('h1')?.textContent.startsWith('after')", 5)
