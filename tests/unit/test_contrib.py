"""What connects Shoal with metrics and traces is there only when asked for."""

import importlib
import subprocess
import sys

import pytest

from shoal.errors import SettingsError
from shoal.routing.listeners import forget, listen, listeners


@pytest.mark.parametrize(
    ("package", "needs", "said"),
    [
        ("prometheus", "prometheus_client", "needs prometheus-client, which is not"),
        ("opentelemetry", "opentelemetry.trace", "needs opentelemetry-api, which is"),
    ],
)
def test_a_package_that_is_missing_is_named(
    package: str, needs: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, needs, None)
    monkeypatch.delitem(sys.modules, f"shoal.contrib.{package}", raising=False)
    with pytest.raises(SettingsError, match=said) as caught:
        importlib.import_module(f"shoal.contrib.{package}")
    assert "pip install 'django-shoal[" in caught.value.hint


def test_none_of_it_is_imported_unasked() -> None:
    code = (
        "import sys, shoal.routing, shoal.apps; "
        "print({'prometheus_client', 'opentelemetry'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_who_listens_twice_is_told_once() -> None:
    told: list[object] = []

    def listener(edition: object, choice: object) -> None:
        told.append(choice)

    listen(listener)
    listen(listener)
    assert listeners.count(listener) == 1
    forget(listener)
    forget(listener)
    assert listener not in listeners
