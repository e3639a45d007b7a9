"""
Runs inside a recipe's project. Takes the source of a function, prints what it returns.

The function gets a `Site` and arguments; source and arguments come as JSON on stdin,
the value goes as JSON to the last line of stdout.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import django
from django.apps import apps
from django.test import Client
from django.test.utils import setup_test_environment


class Site:
    """The project as its own code sees it: `site.Order` is the model of that name."""

    def __init__(self) -> None:
        self.client = Client(raise_request_exception=False)

    def __getattr__(self, name: str) -> Any:
        for model in apps.get_models():
            if model.__name__ == name:
                return model
        raise AttributeError(name)

    def error(self, act: Callable[[], Any]) -> str | None:
        """Return the error that `act` raises, with its class; `None` if it did not."""
        try:
            act()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return None

    def login(self, username: str, password: str) -> bool:
        """Fill in the admin's login form."""
        form = {"username": username, "password": password, "next": "/admin/"}
        return self.client.post("/admin/login/", form).status_code == 302

    def post(self, path: str, **fields: Any) -> int:
        """Send a form of the admin; 302 says that it was saved."""
        page = self.client.post(path, fields)
        if page.status_code == 200 and "adminform" in (page.context or {}):
            raise AssertionError(page.context["errors"])
        return page.status_code


def main() -> None:
    order = json.load(sys.stdin)
    django.setup()
    setup_test_environment()
    functions: dict[str, Any] = {"Any": Any}
    exec(order["source"], functions)
    value = functions[order["name"]](Site(), *order["arguments"])
    print("\n" + json.dumps(value, default=str))


if __name__ == "__main__":
    main()
