"""A local server that behaves like HighLevel's, for tours, for tests, and for trying things out.

Rests on the pure floors of the package only, and beside them: the client never knows it.
"""

from .book import BookedAppointment
from .faults import Fault
from .limits import Limits
from .log import LoggedRequest
from .oauth import TokenRules
from .quirks import Quirks
from .server import Sandbox

__all__ = ["BookedAppointment", "Fault", "Limits", "LoggedRequest", "Quirks", "Sandbox", "TokenRules"]
