"""The life of one call: attempts, timeouts, transport, and what it comes to."""
