"""`python -m tests.fuzz --seconds 600`: round after round, each with another seed, until the time is over or something fails.

What fails is shown shrunk, with its seed; make a test of it beside what it concerns.
"""

from __future__ import annotations

import argparse
import secrets
import subprocess
import sys
import time

TARGETS = (
    "tests/fuzz",
    "tests/transports/test_poll_heads.py",
    "tests/core/test_request.py",
    "tests/core/test_chunks.py",
    "tests/core/test_pieces.py",
    "tests/dialects",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    end = time.monotonic() + parser.parse_args().seconds
    rounds = 0
    while time.monotonic() < end:
        rounds += 1
        seed = secrets.randbits(32)
        print(f"fuzz: round {rounds}, seed {seed}, {end - time.monotonic():.0f} s left", flush=True)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "--hypothesis-profile=fuzz", f"--hypothesis-seed={seed}"]
        done = subprocess.run([*command, *TARGETS])
        if done.returncode:
            print(f"fuzz: round {rounds} failed; its seed was {seed}", flush=True)
            return done.returncode
    print(f"fuzz: {rounds} rounds, and nothing failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
