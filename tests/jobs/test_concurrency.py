"""Places at the server: so many at once, first come, first served, and none is lost."""

import random
from collections import deque

from leadconnector_async.jobs.run.concurrency import RowSemaphore


def test_places_are_taken_in_the_order_of_asking() -> None:
    """Two at once; the third waits until one is given back."""
    seated: list[str] = []
    places = RowSemaphore(2)

    def ask(name: str) -> None:
        places.ask(lambda granted: (seated.append(name) or True) if granted else False)  # type: ignore[func-returns-value]

    for name in "abcd":
        ask(name)
    assert seated == ["a", "b"]
    places.give_back()
    assert seated == ["a", "b", "c"]
    places.give_back()
    places.give_back()
    ask("e")
    assert seated == ["a", "b", "c", "d", "e"]


def test_a_place_that_is_not_taken_goes_to_the_next() -> None:
    """Whoever has gone away meanwhile takes nothing with him."""
    places, told = RowSemaphore(1), []

    def seat(name: str, *, takes: bool) -> None:
        places.ask(lambda granted: bool(told.append((name, granted)) or takes))  # type: ignore[func-returns-value]

    seat("a", takes=True)
    seat("gone", takes=False)
    seat("gone too", takes=False)
    seat("b", takes=True)
    places.give_back()
    assert told == [("a", True), ("gone", True), ("gone too", True), ("b", True)]


def test_those_that_wait_are_told_when_there_will_be_none() -> None:
    """And places that are given back afterwards are free."""
    places, told = RowSemaphore(1), []
    for name in "abc":
        places.ask(lambda granted, name=name: told.append((name, granted)) is None)  # type: ignore[misc]
    places.close()
    places.give_back()
    assert told == [("a", True), ("b", False), ("c", False)]
    places.ask(lambda granted: told.append(("d", granted)) is None)
    assert told[-1] == ("d", True)


def test_no_place_is_lost_or_given_twice() -> None:
    """Whatever comes and goes in whatever order."""
    chooser = random.Random(5)
    for _ in range(50):
        number = chooser.randint(1, 5)
        places, sitting, gone = RowSemaphore(number), deque[int](), set[int]()

        def seat(guest: int, granted: bool, sitting: deque[int] = sitting, gone: set[int] = gone) -> bool:
            if granted and guest not in gone:
                sitting.append(guest)
            return granted and guest not in gone

        for guest in range(200):
            if chooser.random() < 0.3:
                gone.add(chooser.randint(0, guest))
            places.ask(lambda granted, guest=guest, seat=seat: seat(guest, granted))  # type: ignore[misc]
            assert len(sitting) <= number
            while sitting and chooser.random() < 0.5:
                sitting.popleft()
                places.give_back()
        while sitting:
            sitting.popleft()
            places.give_back()
        for guest in range(1000, 1000 + number):
            places.ask(lambda granted, guest=guest, seat=seat: seat(guest, granted))  # type: ignore[misc]
        assert len(sitting) == number
