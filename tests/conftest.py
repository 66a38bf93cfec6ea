"""What all tests stand on: a busy machine is no failure, and what a test starts can be interrupted."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

settings.register_profile("cometware", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("fuzz", settings.get_profile("cometware"), max_examples=300)
settings.load_profile("cometware")

# A shell that runs the tests in its background lets them ignore it, and what they start would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)
