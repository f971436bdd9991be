"""Safe changes: what an update must carry so that nothing else changes with it, and how it is applied."""

from .plan import Change, Changes, Difference

__all__ = ["Change", "Changes", "Difference"]
