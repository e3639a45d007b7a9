"""Takes an error, gives one line of it that every database can keep: ASCII, no NUL."""


def recordable(error: BaseException, longest: int) -> str:
    """Return its class and the beginning of its text, whatever that is made of."""
    try:
        text = " ".join(str(error).replace("\0", "").split())
    except Exception:
        # A model's own `__str__` may ask a database.
        text = ""
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if len(line) > longest:
        line = f"{line[: longest - 3]}..."
    return in_ascii(line)


def in_ascii(text: str) -> str:
    """Escape what a database in another encoding, such as latin1, would refuse."""
    return text.encode("ascii", "backslashreplace").decode()
