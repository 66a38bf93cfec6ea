"""Where a channel's entries live: one ordered list with one writer at a time."""
