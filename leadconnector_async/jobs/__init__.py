"""Bulk jobs: change many appointments by a plan that is checked as a whole, journalled, resumable and undoable."""

from ..exceptions import RowFault
from .job import BulkJob
from .journal.status import JobStatus
from .listing import JobEntry, list_jobs, purge_jobs, read_status
from .many import update_many
from .plan.files import iterate_plan, read_plan
from .plan.rows import PlanRow, Precondition
from .plan.shift import Shift, parse_shift
from .plan.sources import AnyRow
from .prepare.preview import Preview
from .states import JobOptions, JobPhase, JobProgress, JobSummary, RowOutcome, RowState, Stopped
from .verify import Undo, Verification

__all__ = [
    "AnyRow",
    "BulkJob",
    "JobEntry",
    "JobOptions",
    "JobPhase",
    "JobProgress",
    "JobStatus",
    "JobSummary",
    "PlanRow",
    "Precondition",
    "Preview",
    "RowFault",
    "RowOutcome",
    "RowState",
    "Shift",
    "Stopped",
    "Undo",
    "Verification",
    "iterate_plan",
    "list_jobs",
    "parse_shift",
    "purge_jobs",
    "read_plan",
    "read_status",
    "update_many",
]
