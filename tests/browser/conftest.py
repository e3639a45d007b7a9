"""Starts the demo on a free port and a headless Chromium that looks at it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from tests.browser.screen import Screen

DEMO = Path(__file__).parents[2] / "examples" / "reviews" / "demo.py"
UP_WITHIN = 300.0
OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run"
    " --disable-background-networking --disable-component-update --disable-sync"
    " --disable-dev-shm-usage --hide-scrollbars"
)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start the demo as a person does; give its address; end it with Ctrl-C."""
    said = tmp_path_factory.mktemp("demo") / "output"
    with (
        said.open("w") as output,
        subprocess.Popen(
            [sys.executable, DEMO, "--port", "0"],
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as demo,
    ):
        try:
            yield address_in(said, demo)
        finally:
            demo.send_signal(signal.SIGINT)
            assert demo.wait(120) == 0, said.read_text()


def address_in(said: Path, demo: "subprocess.Popen[bytes]") -> str:
    deadline = time.monotonic() + UP_WITHIN
    while time.monotonic() < deadline and demo.poll() is None:
        if found := re.search(r"^http://\S+$", said.read_text(), re.MULTILINE):
            return found[0]
        time.sleep(0.1)
    raise AssertionError(f"The demo did not come up:\n{said.read_text()}")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Start the machine's own Chromium; nothing is downloaded."""
    browser, driver = program("chromium"), program("chromedriver")
    options = ChromeOptions()
    options.binary_location = browser
    for option in OPTIONS.split():
        options.add_argument(option)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = Chrome(options=options, service=Service(executable_path=driver))
    yield chrome
    chrome.quit()


def program(name: str) -> str:
    found = shutil.which(name)
    assert found, f"There is no {name}: apt-get install chromium chromium-driver."
    return found


@pytest.fixture(params=["phone", "desktop"])
def screen(
    request: pytest.FixtureRequest, chromium: Chrome, site: str
) -> Iterator[Screen]:
    """Give a visitor without cookies, at each of the two sizes."""
    folder = os.environ.get("SHOAL_SCREENSHOTS")
    view = Screen(chromium, site, request.param, Path(folder) if folder else None)
    view.begin()
    yield view
    view.check()
