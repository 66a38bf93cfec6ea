"""An application that has two channels."""

from __future__ import annotations

from typing import Any

from cometware import Channel, Cometware
from tests.live.wrapped import around, nothing_here

orders = Channel(name="orders")
chat = Channel("sqlite:///chat.db", name="chat")
app: Any = around(Cometware(Cometware(nothing_here, orders, path="/orders"), chat, path="/chat"))
