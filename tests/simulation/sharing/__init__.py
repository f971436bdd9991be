"""Processes that share a budget through a store, in virtual time, with everything that can go wrong."""
