"""What follows a refusal of the token: 401, and what its text says.

| refusal | asked for a new token | got one | repeated | next step |
| --- | --- | --- | --- | --- |
| `final` | | | | believe |
| `expired` | no | | | renew |
| `expired` | yes | no | no | repeat |
| `expired` | yes | yes | | believe |
| `stray` | | | no | repeat |
| `stray` | no | | yes | renew |
| any other | | | | believe |

"Repeat" is the same request after about a second. A refusal that is believed ends the call. So a call is sent at
most twice more than it was, and a job stops only if its token is refused again.

Pure. Must not import the pipeline.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from ._errors import TokenRefusal
from .exceptions import LeadConnectorError

Step: TypeAlias = Literal["renew", "repeat", "believe"]


class Recovery(Struct):
    """What one call has tried after refusals of its token, reading back included."""

    asked: bool = False
    """A new token was asked for."""
    renewed: bool = False
    """There was one."""
    repeated: bool = False
    """The request was repeated, as after a stray refusal."""
    failure: LeadConnectorError | None = None
    """Why there was no new token: it says more than the refusal does."""

    def choose(self, refusal: TokenRefusal) -> Step:
        """The next step."""
        if refusal == "final":
            return "believe"
        if refusal == "expired" and not self.asked:
            return "renew"
        if not self.repeated and not (refusal == "expired" and self.renewed):
            return "repeat"
        return "believe" if self.asked else "renew"
