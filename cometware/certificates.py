"""What TLS needs of a server that ends it itself. No gevent: the command looks before it patches."""

from __future__ import annotations

import ssl


def context_of(certfile: str, keyfile: str) -> ssl.SSLContext:
    """Make the context of a server with this certificate; without a `keyfile`, its key is in the same file.

    Raises:
        ValueError: One of the files is not there, or not what it should be, or they do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(certfile, keyfile or None, _no_password)
    except ssl.SSLError as error:
        files = f"{certfile} and {keyfile}" if keyfile else certfile
        raise ValueError(f"{files}: expected a certificate and its key, in PEM, without a password: {error}") from None
    except OSError as error:
        files = f"{certfile} or {keyfile}" if keyfile else certfile
        raise ValueError(f"{files}: {error.strerror or error}") from None
    return context


def _no_password() -> str:
    """Nobody is asked, as OpenSSL would do: a server has to start by itself."""
    raise ssl.SSLError("the key has a password")
