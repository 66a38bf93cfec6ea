"""What Engine.IO answers to requests that it cannot serve, by its error codes."""

from __future__ import annotations

import json

from cometware.dialects import engineio
from cometware.response import Response
from cometware.transports.upload import UploadRefused


class BadEngineRequest(Exception):
    """A request that Engine.IO answers by one of its error codes."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message or engineio.ERRORS[code]


def error_response(code: int, message: str = "", status: int = 400) -> Response:
    """Say what is wrong, as Engine.IO does."""
    body = json.dumps({"code": code, "message": message or engineio.ERRORS[code]}, separators=(",", ":"))
    return Response(body, 403 if code == engineio.FORBIDDEN else status, content_type="application/json")


def too_much(refused: UploadRefused) -> Response:
    """Refuse a body; such an answer has none itself."""
    response = Response("", refused.answer.status)
    if refused.answer.close:
        response.headers["Connection"] = "close"
    return response
