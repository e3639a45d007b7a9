"""Takes a recipe's project, gives it served over HTTP and visitors with cookies."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, Request, build_opener

from tests.acceptance.projects import PATIENT, Project

UP_WITHIN = 120.0
ADDRESS = re.compile(r"http://127\.0\.0\.1:[1-9]\d*")


class Visitor:
    """A browser without JavaScript: keeps cookies, follows redirects."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.jar = CookieJar()
        cookies = HTTPCookieProcessor(self.jar)
        self._opener = build_opener(ProxyHandler({}), cookies)

    def cookie(self, name: str) -> str:
        return next((str(one.value) for one in self.jar if one.name == name), "")

    def get(self, path: str) -> Any:
        return self._open(Request(self.address + path))

    def post(self, path: str, **fields: str) -> Any:
        """Send a form with its token, and give the page that it leads to."""
        form = {"csrfmiddlewaretoken": self.cookie("csrftoken"), **fields}
        return self._open(Request(self.address + path, urlencode(form).encode()))

    def log_in(self, username: str, password: str) -> Any:
        self.get("/login/")
        return self.post("/login/", username=username, password=password)

    def _open(self, request: Request) -> Any:
        with self._opener.open(request, timeout=60) as response:
            body = response.read().decode()
            kind = response.headers.get_content_type()
        return json.loads(body) if kind == "application/json" else body


@contextmanager
def served(project: Project, **environ: str) -> Iterator[str]:
    """Run `manage.py runserver` on a free port; give its address."""
    said = project.directory / "said"
    with said.open("w") as output:
        command = ["manage.py", "runserver", "--noreload", "127.0.0.1:0"]
        server = subprocess.Popen(
            [sys.executable, "-u", str(PATIENT), *command],
            cwd=project.directory,
            env={**project.environ, **environ},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield _address(server, lambda: said.read_text())
        finally:
            server.terminate()
            server.wait(UP_WITHIN)
    assert "Traceback" not in said.read_text(), said.read_text()


def _address(server: "subprocess.Popen[bytes]", said: Any) -> str:
    deadline = time.monotonic() + UP_WITHIN
    while time.monotonic() < deadline and server.poll() is None:
        if found := ADDRESS.search(said()):
            return found[0]
        time.sleep(0.02)
    raise AssertionError(f"runserver did not come up:\n{said()}")
