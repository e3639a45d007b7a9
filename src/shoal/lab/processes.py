"""
Takes the id of a process, says whether it runs.
"""

import os
from pathlib import Path


def runs(pid: int) -> bool:
    """
    Say whether a process is there, and not only remembered until it is waited for.

    In a container nobody may ever wait for it.
    """
    try:
        os.kill(pid, 0)
    except PermissionError:
        pass
    except ProcessLookupError:
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True  # Not Linux; or it has just gone, as the next call will say.
    return state not in "ZX"
