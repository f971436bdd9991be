"""Slots for requests, per location: never more than the limit in any window."""
