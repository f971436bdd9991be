"""Neighbours of the library, one module each, behind an extra; whoever needs one loads it."""
