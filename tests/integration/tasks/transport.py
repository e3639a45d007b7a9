"""Messages as files, as Kombu has them, that nobody reads before they are whole."""

import os
import uuid
from pathlib import Path
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:
        """Kombu makes the file first, so that a reader may find an empty one."""
        folder = Path(self.data_folder_out)
        part = folder / f"{uuid.uuid4()}.part"
        part.write_text(dumps(payload))
        os.replace(part, part.with_suffix(f".{queue}.msg"))


class Transport(filesystem.Transport):
    Channel = Channel
