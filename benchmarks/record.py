"""Takes what a run has measured, adds it as a line of JSON to `history/`."""

import datetime
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("history")
PACKAGES = (
    "Django",
    "django-shoal",
    "django-multidb-router",
    "django_replicated",
    "psycopg",
    "SQLAlchemy",
)


def record(name: str, results: Mapping[str, Any], **versions: str) -> None:
    """Add a line to the history of this benchmark, with machine, versions and day."""
    line = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "versions": installed() | versions,
        "results": results,
    }
    with (FOLDER / f"{name}.jsonl").open("a", encoding="utf-8") as history:
        history.write(json.dumps(line) + "\n")


def machine() -> dict[str, Any]:
    return {
        "cpus": os.cpu_count(),
        "architecture": platform.machine(),
        "kernel": platform.release(),
    }


def installed() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
