"""
Takes a file and a block of the docs that belongs to it, gives the file with it. Pure.

A reader who is told "in settings.py" replaces what is there under that name and adds
the rest. So does this: by the names that top-level statements bind.
"""

import ast


def merged(source: str, block: str) -> str:
    """Replace what `block` binds anew, import what it imports, append the rest."""
    lines = source.splitlines()
    new = ast.parse(block)
    imports = [s for s in new.body if isinstance(s, ast.Import | ast.ImportFrom)]
    others = [s for s in new.body if s not in imports]
    bound = {name for s in new.body for name in _names(s)}
    for old in reversed(ast.parse(source).body):
        if _names(old) and _names(old) <= bound:
            del lines[_first(old) - 1 : old.end_lineno]
    kept = "\n".join(lines)
    known = kept.splitlines()
    wanted = [ast.unparse(s) for s in imports if ast.unparse(s) not in known]
    body = "\n".join(block.splitlines()[_first(others[0]) - 1 :]) if others else ""
    return f"{_with_imports(kept, wanted)}\n\n{body}\n"


def _with_imports(source: str, wanted: list[str]) -> str:
    """Put imports behind the docstring."""
    body = ast.parse(source).body
    has_docstring = body and ast.get_docstring(ast.Module(body, [])) is not None
    at = body[0].end_lineno or 0 if has_docstring else 0
    lines = source.splitlines()
    return "\n".join([*lines[:at], *wanted, *lines[at:]])


def _names(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.Assign):
        return {t.id for t in statement.targets if isinstance(t, ast.Name)}
    if isinstance(statement, ast.ClassDef | ast.FunctionDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in statement.names}
    return set()


def _first(statement: ast.stmt) -> int:
    """Return the first line, that of a decorator if there is one."""
    if isinstance(statement, ast.ClassDef | ast.FunctionDef):
        return min([statement.lineno, *(d.lineno for d in statement.decorator_list)])
    return statement.lineno
