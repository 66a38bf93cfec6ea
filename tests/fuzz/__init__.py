"""What strangers send, mutated from what real clients send; `python -m tests.fuzz` goes on for long."""
