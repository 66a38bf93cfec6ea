"""What the channel itself answers. Rule: no browser guesses what is in it; a stranger's text in an error is no page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from werkzeug.wrappers import Response as WerkzeugResponse

NOSNIFF = ("X-Content-Type-Options", "nosniff")


class Response(WerkzeugResponse):
    """An ordinary answer, whichever of our URLs it is for. `says_type`: its headers say already that its type is no guess."""

    says_type = False

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not self.says_type:
            self.headers["X-Content-Type-Options"] = "nosniff"
        return super().__call__(environ, start_response)
