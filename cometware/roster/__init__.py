"""Who is here, until when, and all that belongs to a client."""
