"""Takes a Markdown page of the docs, gives its code blocks. Touches no process."""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_FILE = re.compile(r"# (?P<path>[\w./-]+\.(?:py|toml))\n")


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block of code."""

    language: str
    text: str
    line: int
    """Of the page, where the code begins."""

    @property
    def path(self) -> str | None:
        """The file that the block belongs to, if its first line names one."""
        found = _FILE.match(self.text)
        return found["path"] if found else None


@dataclass(frozen=True, kw_only=True)
class Command:
    """One line after a `$`, and what the page says that it prints."""

    line: str
    expected: str


def pages() -> list[Path]:
    """Return every page, README included."""
    written = [path for path in DOCS.rglob("*.md") if "_build" not in path.parts]
    return [ROOT / "README.md", *sorted(written)]


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(
            language=found["language"],
            text=textwrap.dedent(found["text"]),
            line=text.count("\n", 0, found.start()) + 2,
        )
        for found in _FENCE.finditer(text)
    ]


def commands(block: Block) -> list[Command]:
    """Split a `console` block into what is typed and what comes back."""
    typed = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    if typed[0].strip():
        raise ValueError(f"Line {block.line}: output before the first command.")
    found = []
    for part in typed[1:]:
        line, _, expected = part.partition("\n")
        while line.endswith("\\"):
            more, _, expected = expected.partition("\n")
            line = f"{line[:-1].rstrip()} {more.strip()}"
        found.append(Command(line=line, expected=expected))
    return found
