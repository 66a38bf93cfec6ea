"""The channel's own URL: one module for each way in which it is served."""

from cometware.endpoint.serve import Endpoint

__all__ = ["Endpoint"]
