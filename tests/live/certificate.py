"""A certificate for the servers that end TLS themselves."""

from __future__ import annotations

import atexit
import shutil
import ssl
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from tests.proxies.foreground import find_program


def write_certificate(folder: Path) -> None:
    """Write a self-signed certificate: `certificate.pem`, `key.pem`, and `both.pem` for HAProxy."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = "req -x509 -nodes -days 2 -subj /CN=localhost -newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        [find_program("openssl"), *command.split(), *names, "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    (folder / "both.pem").write_text(certificate.read_text() + key.read_text())


@cache
def folder() -> Path:
    """Where `certificate.pem`, `key.pem` and `both.pem` are, until this process ends."""
    made = Path(tempfile.mkdtemp(prefix="certificate"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    write_certificate(made)
    return made


def trusting() -> ssl.SSLContext:
    """How a client speaks that trusts it."""
    return ssl.create_default_context(cafile=str(folder() / "certificate.pem"))
