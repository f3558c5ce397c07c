"""Configurations that are loaded from a file, and those that are refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cove_poller.config.file import load_config
from cove_poller.config.settings import Config
from cove_poller.errors import ConfigError

MakeConfig = Callable[..., Config]
Refusal = Callable[[str], str]


@pytest.fixture
def make_config(tmp_path: Path) -> MakeConfig:
    """Writes a configuration and loads it, with the given variables as its environment."""

    def make(text: str, **environ: str) -> Config:
        file = tmp_path / "cove.toml"
        file.write_text(text, encoding="utf-8")
        return load_config(file, environ)

    return make


@pytest.fixture
def refusal(make_config: MakeConfig) -> Refusal:
    """Gives what is said about a configuration that must not be accepted."""

    def refuse(text: str) -> str:
        with pytest.raises(ConfigError) as caught:
            make_config(text)
        return str(caught.value)

    return refuse
