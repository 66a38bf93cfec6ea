"""What a running server showed itself to carry; `python -m tests.contract.servers.observed` writes it into docs/servers.md."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from tests.contract.servers.kinds import KINDS, OURS, Kind
from tests.live.clients import EventStream, Refusal, Stream, WebSocket, new_key
from tests.live.server import PATIENT, ROOT, Server

DOCUMENT = ROOT / "docs" / "servers.md"
BEGIN, END = "<!-- table: python -m tests.contract.servers.observed -->\n", "<!-- end of the table -->\n"
HEAD = (
    "| server | WebSocket | SSE | stream | long poll | plain poll | held at one time | how | why not more |\n"
    "|---|---|---|---|---|---|---|---|---|\n"
)
_LINE = re.compile(r"server (?P<name>.+?): transports (?P<transports>[\w, ]+); (?P<why>.+); (?P<fix>`cometware serve`.*)")


class Told(NamedTuple):
    """The line in which a server's log tells what it cannot carry."""

    name: str
    transports: tuple[str, ...]
    why: str
    fix: str


def told(server: Server) -> list[Told]:
    found = (match.groups() for match in _LINE.finditer(server.errors))
    return [Told(name, tuple(transports.split(", ")), why, fix) for name, transports, why, fix in found]


def row(kind: Kind, server: Server) -> str:
    """Try every transport, and write a line of the table."""
    carried = {client.transport: _opens(client(server)) for client in (WebSocket, EventStream, Stream)}
    status, headers, body = server.request("GET", "/comet?transport=poll", None, {"Comet-Key": new_key()})
    assert status == 200 and json.loads(body)[0]["open"], body
    carried["long"], carried["plain"] = headers["Retry-After"] is None, True
    held = "no limit" if kind.held is None else kind.held
    how = "parked" if kind.held is None else "a thread each" if kind.held else "not at all"
    why = [line.why for line in told(server)] or [""]
    cells = [kind.title, *("yes" if yes else "–" for yes in carried.values()), str(held), how, *why]
    return "| " + " | ".join(cells) + " |\n"


def _opens(client: WebSocket | EventStream | Stream) -> bool:
    try:
        with client:
            return True
    except Refusal as refusal:
        assert refusal.status == 501, refusal
        client.drop()
        return False


def write() -> None:
    """Write the table anew."""
    rows = []
    for kind in (OURS, *KINDS):
        with kind.serve(PATIENT) as server:
            rows.append(row(kind, server))
    before, begin, rest = DOCUMENT.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{begin}{HEAD}{''.join(rows)}{end}{after}")


if __name__ == "__main__":
    write()
