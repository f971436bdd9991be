"""Moving many appointments at once: the plan of a job."""

from .plan import PlanRow, read_plan

__all__ = ["PlanRow", "read_plan"]
