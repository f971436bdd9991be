"""What a store needs before it is used first."""


def prepare(url: str) -> None:
    """Create its tables."""
