"""A local server that behaves like HighLevel's, for tours, for tests, and for trying things out.

Rests on the pure floors of the package only, and beside them: the client never knows it.
"""

from .faults import Fault, Quirks
from .oauth import TokenRules
from .rate_limits import Limits
from .request_log import LoggedRequest
from .server import Sandbox
from .store import BookedAppointment

__all__ = ["BookedAppointment", "Fault", "Limits", "LoggedRequest", "Quirks", "Sandbox", "TokenRules"]
