"""Hosts of a test's own: network namespaces with cables to one of them in the middle. Needs root and iproute2."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.proxies.foreground import find_program

_NETWORK = 0x40000000
"""`CLONE_NEWNET` of setns(2)."""
_NOBODY = "02:00:00:00:00:99"
"""A hardware address that no end of a cable has."""
_libc = ctypes.CDLL(None, use_errno=True)


def _ip(*arguments: str) -> None:
    done = subprocess.run([find_program("ip"), *arguments], capture_output=True, text=True, timeout=240)
    if done.returncode:
        raise AssertionError(
            f"ip {' '.join(arguments)}: {done.stderr.strip()} (this test makes network namespaces: run it as root)"
        )


def _enter(path: str | Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if _libc.setns(descriptor, _NETWORK):
            raise OSError(ctypes.get_errno(), f"setns to {path}")
    finally:
        os.close(descriptor)


class Host:
    """A network of its own, with its own loopback. Sockets and processes that are made `inside` belong to it for good."""

    def __init__(self, name: str) -> None:
        self.name = name
        _ip("netns", "add", name)
        _ip("-n", name, "link", "set", "lo", "up")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Let the calling thread be on this host for the length of the block."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        _enter(f"/run/netns/{self.name}")
        try:
            yield
        finally:
            _enter(f"/proc/self/fd/{home}")
            os.close(home)

    def close(self) -> None:
        _ip("netns", "del", self.name)


class Cable:
    """Between a host and the one in the middle. `far` is the address of the middle, seen from the host."""

    def __init__(self, middle: Host, host: Host, number: int) -> None:
        self._middle, self._host = middle, host
        self._end = f"cable{number}"
        self.far, self.near = f"10.213.{number}.1", f"10.213.{number}.2"
        _ip("-n", middle.name, "link", "add", self._end, "type", "veth", "peer", "name", "cable", "netns", host.name)
        _ip("-n", middle.name, "addr", "add", f"{self.far}/24", "dev", self._end)
        _ip("-n", host.name, "addr", "add", f"{self.near}/24", "dev", "cable")
        _ip("-n", host.name, "link", "set", "cable", "up")
        _ip("-n", middle.name, "link", "set", self._end, "up")

    def cut(self) -> None:
        """Let packets vanish both ways, and tell nobody: each end keeps its carrier, and sends to where nobody is."""
        _ip("-n", self._middle.name, "neigh", "replace", self.near, "lladdr", _NOBODY, "dev", self._end, "nud", "permanent")
        _ip("-n", self._host.name, "neigh", "replace", self.far, "lladdr", _NOBODY, "dev", "cable", "nud", "permanent")

    def mend(self) -> None:
        _ip("-n", self._middle.name, "neigh", "del", self.near, "dev", self._end)
        _ip("-n", self._host.name, "neigh", "del", self.far, "dev", "cable")


@contextmanager
def hosts(count: int) -> Iterator[tuple[Host, list[tuple[Host, Cable]]]]:
    """Make one host in the middle and so many around it, for the length of the block."""
    with ExitStack() as stack:

        def make(name: str) -> Host:
            host = Host(f"comet{os.getpid()}{name}")
            stack.callback(host.close)
            return host

        middle = make("m")
        around = [make(str(number)) for number in range(count)]
        yield middle, [(host, Cable(middle, host, number)) for number, host in enumerate(around)]
