"""What browsers load: the client and its types."""
