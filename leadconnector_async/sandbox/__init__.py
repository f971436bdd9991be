"""A local server that behaves like HighLevel's, for demos, for tests, and for trying things out.

It is not part of the client's layers and shares only pure modules with them: the client does not import it.
"""

from .faults import Fault, Quirks
from .models import BookedAppointment, Contact
from .oauth import TokenRules
from .rate_limits import Limits
from .request_log import LoggedRequest
from .server import Sandbox
from .signing import SignedWebhook
from .webhooks import Delivery, WebhookRules

__all__ = [
    "BookedAppointment",
    "Contact",
    "Delivery",
    "Fault",
    "Limits",
    "LoggedRequest",
    "Quirks",
    "Sandbox",
    "SignedWebhook",
    "TokenRules",
    "WebhookRules",
]
