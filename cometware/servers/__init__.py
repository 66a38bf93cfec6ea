"""What the process that serves us can do with a connection."""
