"""What the simulator needs beyond the service: asked for once, before anything is loaded."""

from __future__ import annotations

from importlib.util import find_spec

from classifier.errors import ConfigError

NEEDED = ("bpe_openai", "sklearn")


def require(*modules: str) -> None:
    """Raises ConfigError that says what to install when one of the modules is missing."""
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"the simulator needs {' and '.join(missing)}: pip install 'ticket-classifier[simulator]'"
        )
