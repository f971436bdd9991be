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
from .prepare.plan_warnings import PlanWarning
from .prepare.preview import Example, Preview
from .service import JobResult, JobService
from .states import JobOptions, JobPhase, JobProgress, JobSummary, RowOutcome, RowState, Stopped
from .unit import ClientFor
from .verify import Undo, Verification
from .worker import list_open_locations, run_worker, work_location
from .worker_events import (
    DatabaseBack,
    DatabaseLost,
    JobChanged,
    LocationFinished,
    LocationHandedBack,
    LocationLost,
    LocationTaken,
    WorkerEvent,
    WorkerEventHandler,
    WorkerStarted,
    WorkerStopped,
)

__all__ = [
    "AnyRow",
    "BulkJob",
    "ClientFor",
    "DatabaseBack",
    "DatabaseLost",
    "Example",
    "JobChanged",
    "JobEntry",
    "JobOptions",
    "JobPhase",
    "JobProgress",
    "JobResult",
    "JobService",
    "JobStatus",
    "JobSummary",
    "LocationFinished",
    "LocationHandedBack",
    "LocationLost",
    "LocationTaken",
    "PlanRow",
    "PlanWarning",
    "Precondition",
    "Preview",
    "RowFault",
    "RowOutcome",
    "RowState",
    "Shift",
    "Stopped",
    "Undo",
    "Verification",
    "WorkerEvent",
    "WorkerEventHandler",
    "WorkerStarted",
    "WorkerStopped",
    "iterate_plan",
    "list_jobs",
    "list_open_locations",
    "parse_shift",
    "purge_jobs",
    "read_plan",
    "read_status",
    "run_worker",
    "update_many",
    "work_location",
]
