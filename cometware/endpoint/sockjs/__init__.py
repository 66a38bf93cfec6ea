"""SockJS (protocol 0.3.3) in front of the channel: what each of its URLs answers."""
