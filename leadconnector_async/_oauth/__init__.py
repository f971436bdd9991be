"""Access tokens of a marketplace app: requested, refreshed by one process at a time, and stored."""
