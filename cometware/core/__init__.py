"""The channel as values and decisions: no gevent, no sockets, no clock, no dice."""
