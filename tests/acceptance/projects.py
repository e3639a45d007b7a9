"""
Takes a recipe and databases of real servers, gives its project, run as users run it.

What a project did is not asked of the project: `Place` asks the server itself.
"""

import inspect
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from shoal.lab import LabServer

HERE = Path(__file__).parent
PATIENT = HERE / "patient.py"
TIMEOUT = 240


@dataclass(frozen=True, kw_only=True)
class Place:
    """One database on one server of the lab."""

    server: LabServer
    database: str

    @classmethod
    def new(cls, server: LabServer, database: str) -> "Place":
        """Create an empty database, in the stead of one of the same name."""
        server.ask(f"DROP DATABASE IF EXISTS {database}")
        server.ask(f"CREATE DATABASE {database}")
        return cls(server=server, database=database)

    def on(self, server: LabServer) -> "Place":
        """Return the same database on another server: a replica."""
        return Place(server=server, database=self.database)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Run SQL there as the superuser, past Django and Shoal."""
        if self.server.vendor == "mariadb":
            return self.server.sql(f"USE {self.database}; {sql}")
        entry = self.server.alias
        with psycopg.connect(
            host=entry["HOST"],
            port=entry["PORT"],
            user=entry["USER"],
            password=entry["PASSWORD"],
            dbname=self.database,
            autocommit=True,
        ) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def tables(self) -> set[str]:
        """Return the names of all tables, but for the one that records migrations."""
        return self.all_tables() - {"django_migrations"}

    def all_tables(self) -> set[str]:
        schema = "public" if self.server.vendor == "postgresql" else self.database
        rows = self.ask(
            "SELECT table_name FROM information_schema.tables "
            f"WHERE table_schema = '{schema}'"
        )
        return {str(row[0]) for row in rows}

    def column(self, sql: str) -> list[Any]:
        return [row[0] for row in self.ask(sql)]

    def environ(self, name: str) -> dict[str, str]:
        """Return what the recipe's settings read for the database `name`."""
        entry = {**self.server.alias, "NAME": self.database}
        return {f"{name}_{key}": entry[key] for key in KEYS}


KEYS = ("NAME", "USER", "PASSWORD", "HOST", "PORT")


@dataclass(frozen=True, kw_only=True)
class Done:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    def json(self) -> Any:
        return json.loads(self.stdout)


class Project:
    """A copy of a recipe, with its own environment and nobody else's."""

    def __init__(
        self, recipe: str, directory: Path, places: Mapping[str, Place]
    ) -> None:
        self.directory = directory / recipe
        shutil.copytree(
            HERE / recipe,
            self.directory,
            ignore=shutil.ignore_patterns("__pycache__", "*.sqlite3"),
        )
        self.places = places
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "LANG": "C.UTF-8",
            "SECRET_KEY": "only for this test",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONWARNINGS": "default",
        }
        for name, place in places.items():
            self.environ.update(place.environ(name))

    def __getitem__(self, name: str) -> Place:
        return self.places[name]

    def manage(
        self, *argv: str, code: int = 0, stdin: str = "", **environ: str
    ) -> Done:
        """Run `manage.py`; fail unless it ends with `code`, and with no traceback."""
        done = self.python("manage.py", *argv, stdin=stdin, **environ)
        said = f"manage.py {' '.join(argv)}: {done.code}\n{done.output}"
        assert done.code == code, said
        assert "Traceback" not in done.output, said
        return done

    def python(self, *argv: str, stdin: str = "", **environ: str) -> Done:
        done = subprocess.run(
            [sys.executable, *argv],
            cwd=self.directory,
            env={**self.environ, **environ},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            # Without a terminal, a command that asks for a password reads stdin.
            start_new_session=True,
        )
        return Done(code=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def run(self, function: Callable[..., Any], *arguments: Any, **environ: str) -> Any:
        """Run a function of a test inside the project (see `inside.py`)."""
        done = self.start(function, *arguments, **environ)
        assert done.code == 0, done.output
        return json.loads(done.stdout.splitlines()[-1])

    def start(
        self, function: Callable[..., Any], *arguments: Any, **environ: str
    ) -> Done:
        """Run a function inside the project, however that ends."""
        order = {
            "name": function.__name__,
            "source": textwrap.dedent(inspect.getsource(function)),
            "arguments": arguments,
        }
        environ = {"DJANGO_SETTINGS_MODULE": "config.settings", **environ}
        program = [str(PATIENT), str(HERE / "inside.py")]
        return self.python("-W", "error", *program, stdin=json.dumps(order), **environ)
