"""Writes a file whole or not at all: whoever reads it meanwhile sees the old one or the new one."""

import os
import tempfile
from pathlib import Path

MODE = 0o644


def write_whole(path: Path, text: str) -> None:
    """Put `text` into the file, readable by everybody. Raise OSError, and leave what was there, if it cannot be."""
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is there and is no ordinary file")  # a device would be replaced, /dev/null for all
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), MODE)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
