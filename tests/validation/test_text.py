"""Values in messages are short, whatever they are."""

import pytest

from leadconnector_async import AppointmentUpdate, InvalidRequestError
from leadconnector_async._api.validate import check_update
from leadconnector_async._validation.text import MOST, show


class Hostile(str):
    """Renders itself as anything but what it holds."""

    __slots__ = ()

    def __repr__(self) -> str:
        raise RuntimeError("never")

    def __str__(self) -> str:
        return "x" * 10_000


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("never")


@pytest.mark.parametrize("value", ["x" * 3_000_000, b"x" * 3_000_000, ["x"] * 100_000, Hostile("y" * 100_000)])
def test_a_long_value_is_cut(value: object) -> None:
    """At the same length, whatever its type."""
    assert len(show(value)) <= MOST + len("''")
    assert "…" in show(value)


def test_a_text_that_is_cut_keeps_both_quotation_marks() -> None:
    """So that whoever hides it finds where it ends."""
    assert show("x" * 100) == repr("x" * 79 + "…")


def test_a_value_that_cannot_be_shown_is_named_by_its_type() -> None:
    """The message is about something else."""
    assert show(Unshowable()) == "<Unshowable>"
    assert show(Hostile("abc")) == "'abc'"


def test_a_payload_without_fields_is_not_shown() -> None:
    """Neither fields that are not set, nor those that are."""
    with pytest.raises(InvalidRequestError, match=r"^payload: it has no fields; set at least one field\. "):
        check_update(AppointmentUpdate())
