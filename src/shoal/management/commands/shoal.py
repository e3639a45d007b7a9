"""
`manage.py shoal`: status, top, check, migrate, publish, deliver, explain, recover.

Exit status: 0 done, 1 something is wrong with what was asked or found, 2 usage.
"""

import argparse
import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from shoal.cli import (
    check,
    deliver,
    explain,
    migrate,
    publish,
    recover,
    status,
    top,
)
from shoal.cli.screen import Screen
from shoal.errors import ShoalError

SUBCOMMANDS: dict[str, tuple[Any, str]] = {
    "status": (status, "Show clusters, their servers, and how these are."),
    "top": (top, "Watch how far replicas are and who serves the reads."),
    "check": (check, "Connect to everything and say what is wrong."),
    "migrate": (migrate, "Migrate every database, replicas left alone."),
    "publish": (publish, "Copy objects from one edition of a cluster to another."),
    "deliver": (deliver, "Deliver the messages that were sent in transactions."),
    "explain": (explain, "Print how a queryset is answered, and by which shards."),
    "recover": (recover, "Finish what a crash left in doubt; resume sagas."),
}
EXAMPLES = """
  manage.py shoal status
  manage.py shoal top --every 5
  manage.py shoal check --json
  manage.py shoal migrate
  manage.py shoal migrate --plan
  manage.py shoal publish pages.Page 1 2 --from draft --to public
  manage.py shoal deliver --watch
  manage.py shoal recover --watch
  manage.py shoal explain "Review.objects.filter(stars=5)[:20]"

`manage.py shoal migrate --help` shows the options of one. Exit status: 0 done,
1 something is wrong with what was asked or found, 2 usage.
"""
# Given before the subcommand or after it; see django.core.management.base.
BASE_OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("-v", "--verbosity"), {"type": int, "choices": [0, 1, 2, 3]}),
    (("--settings",), {}),
    (("--pythonpath",), {}),
    (("--traceback",), {"action": "store_true"}),
    (("--no-color",), {"action": "store_true"}),
    (("--force-color",), {"action": "store_true"}),
)


USAGE = 2


class Error(CommandError):
    """Django prints the name of the class, a colon and the message."""


class Command(BaseCommand):
    help = "Look after the databases of a project that has many."
    requires_system_checks = []  # noqa: RUF012  Each subcommand does its own.

    def create_parser(
        self, prog_name: str, subcommand: str, **kwargs: Any
    ) -> CommandParser:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        kwargs.setdefault("epilog", f"examples:{EXAMPLES}")
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        self._parser = parser
        subparsers = parser.add_subparsers(dest="subcommand", metavar="COMMAND")
        for name, (module, summary) in SUBCOMMANDS.items():
            subparser = subparsers.add_parser(name, help=summary, description=summary)
            module.add_arguments(subparser)
            subparser.add_argument(
                "--json", action="store_true", help="Write one JSON document."
            )
            for words, options in BASE_OPTIONS:
                subparser.add_argument(
                    *words,
                    **options,
                    default=argparse.SUPPRESS,
                    help=argparse.SUPPRESS,
                )

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["subcommand"]
        if name is None:
            self._parser.print_help(self.stdout)
            return
        module = SUBCOMMANDS[name][0]
        self._refuse_usage(module, name, options)
        # A console writes parts of lines; Django's wrapper would end each of them.
        self.stdout.ending = ""
        screen = Screen(
            self.stdout,
            options.get("stderr") or sys.stderr,
            is_json=options["json"],
            verbosity=options["verbosity"],
            no_color=options["no_color"],
            force_color=options["force_color"],
        )
        with _as_command_errors(screen), _clean_stdout(screen):
            module.run(options, screen)

    def _refuse_usage(self, module: Any, name: str, options: dict[str, Any]) -> None:
        check_usage = getattr(module, "usage_error", None)
        problem = check_usage(options) if check_usage else None
        if problem is None:
            return
        if not self._parser.called_from_command_line:
            raise CommandError(problem, returncode=USAGE)
        self._parser.error(f"{name}: {problem}")


@contextlib.contextmanager
def _as_command_errors(screen: Screen) -> Iterator[None]:
    """Let nothing out but a `CommandError`: no traceback, and exit status 1."""
    try:
        yield
    except ShoalError as error:
        raise _error(screen, error.message, error.hint) from error
    except CommandError as error:
        if error.returncode == USAGE:
            raise
        raise _error(screen, str(error), "") from error
    except KeyboardInterrupt as error:
        raise _error(screen, "Interrupted.", "") from error
    except Exception as error:
        text = f"{type(error).__name__}: {error}".strip()
        hint = "Run the same with --traceback to see where it comes from."
        raise _error(screen, text, hint) from error


def _error(screen: Screen, message: str, hint: str) -> Error:
    if screen.is_json and not screen.wrote_data:
        screen.data({"ok": False, "error": {"message": message, "hint": hint}})
    return Error(f"{message}\nHint: {hint}" if hint else message)


@contextlib.contextmanager
def _clean_stdout(screen: Screen) -> Iterator[None]:
    """Beside JSON, let what a migration or a handler prints go to standard error."""
    if not screen.is_json:
        yield
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield
