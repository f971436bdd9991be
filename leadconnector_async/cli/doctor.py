"""`leadconnector doctor`: checks an account, and says what is wrong and what to do."""

from __future__ import annotations

import msgspec
from cyclopts import App

from .arguments import ACCOUNT, SINGLE, Account, Json
from .checks import examine
from .errors import run_command
from .findings import Finding, choose_code
from .output import write_json
from .terminal import make_consoles, print_line


async def doctor(*, json_output: Json = False, account: Account = ACCOUNT) -> int:
    """Check token, scopes, location, calendars, clock, proxy, limits and shared store. Changes nothing.

    Prints a line for each check, and what to do about each that failed. The exit code is that of the first failure.

    Example: leadconnector doctor
    """
    out, err = make_consoles()
    findings: list[Finding] = []

    def report(finding: Finding) -> None:
        findings.append(finding)
        if not json_output:
            print_line(out, f"{finding.state:<8} {finding.check}: {finding.text}")

    async def work() -> int:
        await examine(account, report)
        code = choose_code(findings)
        if json_output:
            write_json({"exit_code": code, "checks": [msgspec.structs.asdict(one) for one in findings]})
        else:
            print_line(err, _sum_up(findings))
        return code

    return await run_command(work, reads=True)


def register(app: App) -> None:
    """Add the command."""
    app.command(doctor, group=SINGLE)


def _sum_up(findings: list[Finding]) -> str:
    failed = sum(one.state == "failed" for one in findings)
    if not failed:
        return "No check failed."
    return f"{failed} check{'s' * (failed != 1)} failed. Start with the first: the others may follow from it."
