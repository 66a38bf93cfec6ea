"""Where a channel's facts live: one connection in each process, shared by its Log and its Roster."""
