"""Moving many appointments at once: a plan, checked whole, carried out with a journal, and undone if need be."""

from ..exceptions import RowFault
from .any_rows import AnyRow
from .clock import Shift, parse_shift
from .job import BulkJob
from .many import update_many
from .plan import iterate_plan, read_plan
from .preview import Preview
from .review import Undo, Verification
from .rows import Before, PlanRow
from .states import JobOptions, JobProgress, JobSummary, RowOutcome, RowState, Stopped
from .status import JobStatus, read_status

__all__ = [
    "AnyRow",
    "Before",
    "BulkJob",
    "JobOptions",
    "JobProgress",
    "JobStatus",
    "JobSummary",
    "PlanRow",
    "Preview",
    "RowFault",
    "RowOutcome",
    "RowState",
    "Shift",
    "Stopped",
    "Undo",
    "Verification",
    "iterate_plan",
    "parse_shift",
    "read_plan",
    "read_status",
    "update_many",
]
