"""Safe changes: what an update must include so that nothing else changes, and how it is applied."""

from .plan import Change, Changes, Difference

__all__ = ["Change", "Changes", "Difference"]
