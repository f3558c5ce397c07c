"""Writes a file whole or not at all: whoever reads it meanwhile sees the old one or the new one."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

MODE = 0o644


def write_whole(path: Path, content: str | bytes, mode: int = MODE) -> None:
    """Put `content` into the file, readable by everybody unless `mode` says otherwise.

    Raise OSError, and leave what was there, if it cannot be.
    """
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is there and is no ordinary file")  # a device would be replaced, /dev/null for all
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode("utf-8", "replace") if isinstance(content, str) else content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(name).replace(path)
        _sync_folder(path.parent)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Let the new name outlive a power failure too."""
    with suppress(OSError):  # a folder may be there to write only
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
