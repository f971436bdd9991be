"""Neighbours of the library, one module each, each behind an extra; imported only when they are used."""
