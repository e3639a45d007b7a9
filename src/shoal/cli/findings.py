"""Messages of checks, for people and as JSON. Takes check messages, gives both."""

from collections.abc import Sequence
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage
from rich.console import Console
from rich.text import Text

from shoal.topology.probe import ServerProblem

LEVELS = {
    checks.CRITICAL: "critical",
    checks.ERROR: "error",
    checks.WARNING: "warning",
    checks.INFO: "info",
    checks.DEBUG: "debug",
}
_BY_NAME = {name: level for level, name in LEVELS.items()}
_STYLES = {"critical": "bold red", "error": "bold red", "warning": "yellow"}


def level_named(name: str) -> int:
    return _BY_NAME[name.lower()]


def as_message(problem: ServerProblem) -> CheckMessage:
    return CheckMessage(
        _BY_NAME[problem.level], problem.message, hint=problem.hint, id=problem.id
    )


def as_json(message: CheckMessage) -> dict[str, Any]:
    return {
        "level": level_name(message),
        "id": message.id,
        "message": message.msg,
        "hint": message.hint,
        "object": _subject(message),
    }


def level_name(message: CheckMessage) -> str:
    return LEVELS.get(message.level, str(message.level))


def _subject(message: CheckMessage) -> str | None:
    if message.obj is None:
        return None
    meta = getattr(message.obj, "_meta", None)
    return str(getattr(meta, "label", message.obj))


def show(messages: Sequence[CheckMessage], console: Console) -> None:
    """Print the gravest first; each with its hint below it."""
    for message in sorted(messages, key=lambda one: -one.level):
        word = level_name(message)
        style = _STYLES.get(word, "cyan")
        subject = _subject(message)
        prefix = f"{subject}: " if subject and not _is_in(subject, message) else ""
        line = Text.assemble(
            (word.capitalize(), style), f" {message.id}: {prefix}{message.msg}"
        )
        console.print(line, soft_wrap=True)
        if message.hint:
            console.print(f"  Hint: {message.hint}", style="dim", soft_wrap=True)


def _is_in(subject: str, message: CheckMessage) -> bool:
    return subject in message.msg


def counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
