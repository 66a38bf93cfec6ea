"""The application of the tests, under a server that waits for no head."""

from cometware import Handler
from tests.live.app import app as app

Handler.head_seconds = 0.5
