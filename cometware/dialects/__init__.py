"""Protocols without I/O: frames in, events out; entries in, frames out."""
