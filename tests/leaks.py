"""What tools that report errors would print: every local of every frame of every error in a chain."""

import traceback

from rich.pretty import pretty_repr


def show_all(error: BaseException | None) -> str:
    """Text, attributes, and the locals as `traceback`, Sentry and rich print them, of an error and its whole chain.

    The frames of this test suite are left out: they hold the secrets that they look for.
    """
    parts: list[str] = []
    seen: set[int] = set()
    todo = [error]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        todo += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
        parts += [str(one), repr(one), repr(one.args), *map(_show, getattr(one, "__dict__", {}).values())]
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if "/tests/" not in frame.f_code.co_filename:
                parts += [f"{name}={_show(value)}" for name, value in frame.f_locals.items()]
    return "\n".join(parts)


def _show(value: object) -> str:
    parts = [repr(value), pretty_repr(value, max_string=80), pretty_repr(value, max_string=4)]
    if isinstance(value, dict):
        parts += [_show(one) for one in value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        parts += [_show(one) for one in value]
    return " ".join(parts)
