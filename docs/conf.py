"""Takes the Markdown beside it, gives the site: `make docs` builds it."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

project = "Shoal"
author = "the django-shoal authors"
copyright = f"2026, {author}"
# Read, not imported: the docs build without a configured Django.
release = re.findall(
    r'^__version__ = "(.+)"', (ROOT / "src/shoal/__init__.py").read_text(), re.M
)[0]
version = release

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

# Headings can be linked to by their own words, down to the third level.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]

html_theme = "furo"
html_title = f"Shoal {release}"
html_show_sourcelink = False
html_copy_source = False
