"""The version, in one place."""

__version__: str = "0.2.0"
"""The version of this package."""
