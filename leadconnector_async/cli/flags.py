"""Flags that several commands share, and the groups that the help shows.

Rule: the same flag has the same name and meaning everywhere.
"""

from __future__ import annotations

from typing import Annotated, Final

from cyclopts import Group, Parameter

JOBS: Final = Group("Jobs", sort_key=1)
Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]
Yes = Annotated[bool, Parameter(name="--yes", negative="", show_default=False)]
Switch = Annotated[bool, Parameter(negative="", show_default=False)]
Profile = Annotated[str | None, Parameter(name="--profile")]
