"""What `cometware serve` was told, and what of it is the same for one process and for several."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from cometware.binding import Bind
from cometware.loading import load

_FORMAT = "%(levelname)s %(name)s: %(message)s"


@dataclass(frozen=True)
class Settings:
    """`shutdown_delay` are seconds; `script_name` is the prefix below which the application is, without a slash at the end.

    With a `certfile` the process ends TLS itself; without a `keyfile`, the key is in there, too.
    """

    application: str
    binds: tuple[Bind, ...]
    workers: int = 1
    channels: tuple[str, ...] = ()
    max_requests: int = 0
    access_log: bool = False
    log_level: str | None = None
    reload: bool = False
    script_name: str = ""
    shutdown_delay: float = 0.0
    certfile: str = ""
    keyfile: str = ""

    @property
    def scheme(self) -> str:
        return "https" if self.certfile else "http"

    def load(self) -> Any:
        """Load the application, and let it log."""
        app = load(self.application, self.channels)
        log_to_stderr(self.log_level)
        return Mounted(app, self.script_name) if self.script_name else app


def log_to_stderr(level: str | None) -> None:
    """Write what is logged to standard error, unless the application has said where it goes.

    The level that was asked for counts in any case.
    """
    ours = logging.getLogger("cometware")
    if level:
        ours.setLevel(level.upper())
    if ours.hasHandlers():
        return
    if any(_is_configured(name, logger) for name, logger in logging.root.manager.loggerDict.items()):
        handler = logging.StreamHandler()  # at the root it would write what the application writes already
        handler.setFormatter(logging.Formatter(_FORMAT))
        ours.addHandler(handler)
        if not level:
            ours.setLevel(logging.INFO)
    else:
        logging.basicConfig(level=level.upper() if level else logging.INFO, format=_FORMAT)


def _is_configured(name: str, logger: object) -> bool:
    handlers = logger.handlers if isinstance(logger, logging.Logger) else []
    return not name.startswith("gunicorn") and any(not isinstance(handler, logging.NullHandler) for handler in handlers)


class Mounted:
    """An application below a prefix, whether the proxy in front takes it off or leaves it in the path."""

    def __init__(self, app: Any, prefix: str) -> None:
        self.app = app
        self._prefix = prefix

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path, prefix = environ.get("PATH_INFO", ""), self._prefix
        if path == prefix or path.startswith(prefix + "/"):
            environ["PATH_INFO"] = path[len(prefix) :]
        environ["SCRIPT_NAME"] = prefix
        result: Iterable[bytes] = self.app(environ, start_response)
        return result
