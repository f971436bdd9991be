"""The order of moves, against a model of a server that never books anybody twice."""

import random
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async.jobs.prepare.ordering import Conflict, Cycle, Move, Order, order_moves

Span = tuple[str | None, int, int]
NOBODY: Span = (None, 0, 0)
FAR = 10**6


def move(number: int, before: Span, after: Span) -> Move:
    return Move(number, *before, *after)


def at(hour: float, owner: str = "ann", *, hours: float = 1) -> Span:
    return owner, round(hour * 3600), round((hour + hours) * 3600)


def before(one: Move) -> Span:
    return one.owner_before, one.start_before, one.end_before


def after(one: Move) -> Span:
    return one.owner_after, one.start_after, one.end_after


def overlap(one: Span, other: Span) -> bool:
    """Second by second, so that it is no copy of what is tested."""
    return one[0] is not None and one[0] == other[0] and bool({*range(*one[1:])} & {*range(*other[1:])})


def shared(one: Move, other: Move) -> bool:
    return overlap(before(one), before(other))


def clashes(one: Move, other: Move) -> bool:
    return overlap(after(one), after(other)) and not shared(one, other)


def list_edges(moves: Iterable[Move]) -> set[tuple[int, int]]:
    """Who waits for whom, all pairs compared."""
    return {
        (one.number, other.number)
        for one, other in permutations(moves, 2)
        if overlap(after(one), before(other)) and not shared(one, other) and not clashes(one, other)
    }


def list_waits(order: Order) -> set[tuple[int, int]]:
    return {(number, other) for number, others in order.waits_for.items() for other in others}


def list_firsts(order: Order) -> list[int]:
    return [cycle.first for cycle in order.cycles]


def sort(edges: Iterable[tuple[int, int]]) -> list[int]:
    sorter: TopologicalSorter[int] = TopologicalSorter()
    for number, other in edges:
        sorter.add(number, other)
    return list(sorter.static_order())


class Server:
    """Refuses whoever wants time that another has, unless the two shared some to begin with."""

    def __init__(self, moves: Iterable[Move]) -> None:
        self.moves = {one.number: one for one in moves}
        self.booked = {one.number: before(one) for one in moves}

    def book(self, number: int, wanted: Span) -> None:
        for other, span in self.booked.items():
            if other != number and overlap(wanted, span) and not shared(self.moves[number], self.moves[other]):
                raise AssertionError(f"{number} wants {wanted}, and {other} has {span}")
        self.booked[number] = wanted

    def park(self, number: int) -> None:
        self.book(number, ("ann", FAR + number, FAR + number + 1))

    def carry_out(self, order: Order, chooser: random.Random) -> None:
        """In any order that the waiting allows."""
        for number in list_firsts(order):
            self.park(number)
        left = set(self.moves)
        while left:
            free = sorted(one for one in left if left.isdisjoint(order.waits_for.get(one, ())))
            number = chooser.choice(free)
            self.book(number, after(self.moves[number]))
            left.remove(number)
        assert self.booked == {number: after(one) for number, one in self.moves.items()}


owners = st.sampled_from(["ann", "ann", "bob", None])
spans = st.builds(
    lambda owner, start, length: (owner, start, start + length), owners, st.integers(0, 12), st.integers(0, 4)
)


@st.composite
def plans(draw: st.DrawFn, *, clean: bool = False, strict: bool = False) -> list[Move]:
    """Rows that move anywhere, or to about where another is. `clean`: none clash; `strict`: none share time."""
    held = draw(st.lists(spans, max_size=9))
    if strict:
        held = [span for place, span in enumerate(held) if not any(overlap(span, one) for one in held[:place])]
    others = draw(st.permutations(held))
    moves: list[Move] = []
    for number, (span, other) in enumerate(zip(held, others, strict=True)):
        shift = draw(st.sampled_from([0, 0, 0, 1, -1]))
        wanted = draw(st.sampled_from([(other[0], other[1] + shift, other[2] + shift), draw(spans)]))
        one = move(100 - number, span, wanted)
        if not clean or not any(clashes(one, kept) for kept in moves):
            moves.append(one)
    return moves


chance = st.randoms(use_true_random=False)


@given(plans(clean=True), chance)
def test_no_order_that_the_waiting_allows_is_refused(moves: list[Move], chooser: random.Random) -> None:
    """Once the first of every cycle is parked, whatever is sent when its turn may be, nobody is booked twice."""
    Server(moves).carry_out(order_moves(moves), chooser)


@given(plans(clean=True, strict=True), chance)
def test_where_nobody_shares_time_a_server_without_exceptions_is_content(
    moves: list[Move], chooser: random.Random
) -> None:
    """It has no notion of a class."""
    assert not any(shared(one, other) for one, other in combinations(moves, 2))
    Server(moves).carry_out(order_moves(moves), chooser)


@given(plans())
def test_nothing_waits_that_need_not_and_all_that_must(moves: list[Move]) -> None:
    """Clashes or not: what all pairs say, without those that are out of the way."""
    order = order_moves(moves)
    firsts = set(list_firsts(order))
    assert list_waits(order) == {(one, other) for one, other in list_edges(moves) if other not in firsts}
    assert all(order.waits_for.values())


@given(plans())
def test_cycles_are_found_where_there_are_any_and_only_there(moves: list[Move]) -> None:
    """A plan that can be sorted as it is has none."""
    order = order_moves(moves)
    try:
        sort(list_edges(moves))
    except CycleError:
        assert order.cycles
    else:
        assert order.cycles == ()
    sort(list_waits(order))


@given(plans())
def test_every_cycle_is_one_and_was_not_broken_before(moves: list[Move]) -> None:
    """Each row of it waits for the next, the last for the first; no row twice, none that is out of the way."""
    edges = list_edges(moves)
    gone: set[int] = set()
    for cycle in order_moves(moves).cycles:
        numbers = cycle.numbers
        assert numbers[0] == cycle.first
        assert {*zip(numbers, (*numbers[1:], numbers[0]), strict=True)} <= edges
        assert len({*numbers}) == len(numbers) > 1
        assert gone.isdisjoint(numbers)
        gone.add(cycle.first)


@given(plans())
def test_a_rank_is_the_length_of_the_longest_chain(moves: list[Move]) -> None:
    """One more than the highest of those it waits for; who waits for nobody has none."""
    order = order_moves(moves)
    assert order.ranks.keys() == order.waits_for.keys()
    for number, others in order.waits_for.items():
        assert order.ranks[number] == 1 + max(order.ranks.get(other, 0) for other in others)
        assert list(others) == sorted(others)


@given(plans())
def test_every_row_that_clashes_is_named_with_one_that_it_clashes_with(moves: list[Move]) -> None:
    """And no other; no more clashes are named than there are rows."""
    named = [(one.first, one.second) for one in order_moves(moves).clashes]
    pairs = {(other.number, one.number) for one, other in combinations(moves, 2) if clashes(one, other)}
    assert {*named} <= pairs
    assert {number for pair in named for number in pair} == {number for pair in pairs for number in pair}
    assert named == sorted({*named})
    assert len(named) <= len(moves)


@given(plans())
def test_the_same_rows_give_the_same_answer(moves: list[Move]) -> None:
    """Down to the order in which rows are listed; whoever asks can pass any iterable."""
    one, other = order_moves(moves), order_moves(iter(moves))
    assert (one, list(one.waits_for), list(one.ranks)) == (other, list(other.waits_for), list(other.ranks))


def test_a_row_waits_for_the_one_that_frees_its_slot() -> None:
    """And for nobody that is only next to it."""
    order = order_moves([move(1, at(9), at(10)), move(2, at(10), at(12)), move(3, at(11), at(13))])
    assert order == Order({1: (2,)}, {1: 1}, (), ())


def test_a_long_wanted_interval_waits_for_all_that_are_in_it() -> None:
    """One that began before it, one inside, one that ends after it, but none that ends when it starts."""
    inside = [move(1, at(8.5), at(30)), move(2, at(10), at(31)), move(3, at(11.5), at(32))]
    beside = [move(4, at(7.5), at(33)), move(5, at(12.5), at(34))]
    order = order_moves([*inside, *beside, move(6, at(20), at(9, hours=3))])
    assert order.waits_for == {6: (1, 2, 3)}


def test_an_appointment_that_spans_many_is_waited_for_by_all() -> None:
    """Though others began and ended in the meantime."""
    order = order_moves(
        [
            move(1, at(8, hours=9), NOBODY),
            *(move(number, at(number, "bob"), at(number)) for number in range(9, 13)),
        ]
    )
    assert order.waits_for == dict.fromkeys(range(9, 13), (1,))


def test_a_swap_is_one_cycle() -> None:
    """The one gets out of the way, the other goes, the first follows."""
    order = order_moves([move(7, at(9), at(10)), move(3, at(10), at(9))])
    assert order == Order({7: (3,)}, {7: 1}, (Cycle((7, 3), 7),), ())


def test_a_ring_of_three_is_one_cycle_in_its_order() -> None:
    """Each wants what the next holds."""
    order = order_moves([move(1, at(9), at(11)), move(2, at(10), at(9)), move(3, at(11), at(10))])
    assert order == Order({1: (3,), 3: (2,)}, {3: 1, 1: 2}, (Cycle((1, 3, 2), 1),), ())


def test_rows_that_wait_for_a_ring_are_no_part_of_it() -> None:
    """Nor do they wait for the one that gets out of the way, which here is the one that two wait for."""
    ring = [move(1, at(10), at(9, hours=0.5)), move(2, at(9), at(10))]
    order = order_moves([move(3, at(8), at(9.5, hours=0.5)), *ring, move(4, at(7), at(8))])
    assert order == Order({2: (1,), 4: (3,)}, {2: 1, 4: 1}, (Cycle((2, 1), 2),), ())


def test_two_rings_with_a_row_in_common_are_broken_there() -> None:
    """One break for the figure of eight, wherever the row stands in the plan."""
    rows = [
        move(1, at(20), at(9)),
        move(2, at(21), at(10)),
        move(3, at(9, hours=2), at(20, hours=2)),
    ]
    for plan in permutations(rows):
        order = order_moves(plan)
        assert list_firsts(order) == [3]
        assert order.waits_for == {3: (1, 2)}


def test_a_ring_with_a_short_cut_is_named_by_the_shorter_way() -> None:
    """What is named is easy to follow; one break is enough for both ways round."""
    rows = [
        move(0, at(0), at(1.5)),
        move(1, at(1), at(5)),
        move(2, at(2), at(6)),
        move(3, at(5), at(2.5, hours=0.5)),
        move(4, at(6), at(0)),
    ]
    order = order_moves(rows)
    assert order.cycles == (Cycle((0, 2, 4), 0),)
    assert order.waits_for == {0: (1, 2), 1: (3,), 3: (2,), 2: (4,)}


def test_a_ring_does_not_lead_back_to_before_it() -> None:
    """Whoever leads into a ring, and is waited for from inside of it, is on another cycle."""
    rows = [
        move(0, at(3), at(5)),
        move(1, at(5, hours=2), at(8)),
        move(2, at(8), at(2.5)),
        move(3, at(2), at(10)),
        move(4, at(10), at(6)),
    ]
    assert order_moves(rows).cycles == (Cycle((1, 2, 3, 4), 1),)


def test_cycles_are_listed_as_their_rows_come() -> None:
    """Neither by the clock nor by person."""
    late = [move(1, at(15), at(16)), move(2, at(16), at(15))]
    early = [move(3, at(9), at(10)), move(4, at(10), at(9))]
    other = [move(5, at(9, "bob"), at(10, "bob")), move(6, at(10, "bob"), at(9, "bob"))]
    assert list_firsts(order_moves([*late, *other, *early])) == [1, 5, 3]


@pytest.mark.parametrize("length", [1_000, 30_000])
def test_a_long_chain_is_walked_without_recursion(length: int) -> None:
    """Whichever end it is met from."""
    rows = [move(number, at(number), at(number + 1)) for number in range(length)]
    for plan in (rows, rows[::-1]):
        order = order_moves(plan)
        assert order.waits_for == {number: (number + 1,) for number in range(length - 1)}
        assert order.ranks == {number: length - 1 - number for number in range(length - 1)}
        assert (order.cycles, order.clashes) == ((), ())


def test_a_long_ring_is_one_cycle() -> None:
    """The whole of it, broken once."""
    length = 1_000
    order = order_moves(move(number, at(number), at((number + 1) % length)) for number in range(length))
    (cycle,) = order.cycles
    assert [(number - cycle.first) % length for number in cycle.numbers] == list(range(length))
    assert max(order.ranks.values()) == length - 1


def test_a_class_that_moves_together_neither_waits_nor_clashes() -> None:
    """Not even when it moves by less than its length, each to another time."""
    rows = [move(number, at(9), at(9.5)) for number in range(20)]
    later = [move(20 + number, at(9), at(9 + number / 60)) for number in range(20)]
    assert order_moves([*rows, *later]) == Order({}, {}, (), ())


def test_a_class_waits_for_the_whole_class_before_it() -> None:
    """Thousands of rows, and what they wait for is kept once."""
    half = 2_500
    first = [move(number, at(9), at(10)) for number in range(half)]
    second = [move(half + number, at(10), at(11)) for number in range(half)]
    order = order_moves([*first, *second])
    assert order.waits_for[0] == tuple(range(half, 2 * half))
    assert order.waits_for[0] is order.waits_for[half - 1]
    assert (len(order.waits_for), {*order.ranks.values()}) == (half, {1})


def test_when_classes_swap_the_smaller_one_gets_out_of_the_way() -> None:
    """All of it, and each of its rows is named."""
    order = order_moves([*(move(number, at(9), at(10)) for number in range(5)), move(8, at(10), at(9))])
    assert order.cycles == (Cycle((8, 0), 8),)
    many = [*(move(number, at(9), at(10)) for number in range(5)), *(move(8 + n, at(10), at(9)) for n in range(2))]
    assert list_firsts(order_moves(many)) == [8, 9]


def test_an_outsider_that_joins_a_class_clashes_with_it() -> None:
    """It did not share before; the class goes on sharing."""
    rows = [move(number, at(9), at(9)) for number in range(3)]
    order = order_moves([*rows, move(3, at(11), at(9))])
    assert order == Order({}, {}, (), (Conflict(0, 3), Conflict(1, 3), Conflict(2, 3)))


def test_thousands_that_want_one_slot_are_named_once_each() -> None:
    """Whether they come from anywhere or from nowhere."""
    count = 5_000
    apart = order_moves(move(number, at(number, "bob"), at(9)) for number in range(count))
    new = order_moves(move(number, NOBODY, at(9)) for number in range(count))
    for order in (apart, new):
        assert len(order.clashes) <= count
        assert {number for one in order.clashes for number in (one.first, one.second)} == {*range(count)}


def test_a_class_and_a_crowd_are_not_named_pair_by_pair() -> None:
    """Those of the class go on sharing, each of the crowd wants what they keep: no more clashes than rows."""
    rows = [move(number, at(9), at(9 + number / 120)) for number in range(50)]
    rows += [move(50 + number, at(number, "bob"), at(9.75)) for number in range(50)]
    named = order_moves(rows).clashes
    assert {number for one in named for number in (one.first, one.second)} == {*range(100)}
    assert len(named) <= 100


def test_two_that_come_from_nowhere_to_one_slot_clash() -> None:
    """With each other, and none with itself."""
    assert order_moves([move(2, NOBODY, at(9)), move(1, NOBODY, at(9))]) == Order({}, {}, (), (Conflict(1, 2),))


def test_a_slot_that_is_kept_is_clashed_for_and_not_waited_for() -> None:
    """Whether it stays as it is or moves by too little; the rest of the order stands."""
    stays = move(1, at(10), at(10))
    lingers = move(2, at(12), at(12.5))
    order = order_moves(
        [stays, lingers, move(3, at(8), at(10)), move(4, at(20), at(12, hours=0.75)), move(5, at(21), at(8))]
    )
    assert order.clashes == (Conflict(1, 3), Conflict(2, 4))
    assert order.waits_for == {5: (3,)}


def test_two_that_want_the_same_both_wait_for_who_leaves_it() -> None:
    """As if the other was not there."""
    order = order_moves([move(1, at(8), at(10)), move(2, at(9), at(10)), move(3, at(10), at(11))])
    assert order == Order({1: (3,), 2: (3,)}, {1: 1, 2: 1}, (), (Conflict(1, 2),))


def test_two_persons_can_exchange_their_appointments() -> None:
    """The same hour of another person is other time."""
    order = order_moves([move(1, at(9, "ann"), at(9, "bob")), move(2, at(9, "bob"), at(9, "ann"))])
    assert order.cycles == (Cycle((1, 2), 1),)
    assert order_moves([move(1, at(9, "ann"), at(10, "bob")), move(2, at(10, "ann"), at(9, "bob"))]) == Order(
        {}, {}, (), ()
    )


def test_who_is_cancelled_frees_its_time_and_wants_none() -> None:
    """Who was cancelled before holds none; an empty interval is nobody's time."""
    order = order_moves(
        [
            move(1, at(9), (None, *at(9)[1:])),
            move(2, (None, *at(10)[1:]), at(9)),
            move(3, at(11), at(10)),
            move(4, at(12, hours=0), at(10.5, hours=0)),
            move(5, at(15), at(11.5, hours=2)),
        ]
    )
    assert order == Order({2: (1,), 5: (3,)}, {2: 1, 5: 1}, (), ())


def test_a_row_that_moves_by_less_than_its_length_does_not_wait_for_itself() -> None:
    """A whole morning that moves by a quarter of an hour starts with the last."""
    order = order_moves(move(hour, at(hour), at(hour + 0.25)) for hour in range(9, 12))
    assert order == Order({9: (10,), 10: (11,)}, {10: 1, 9: 2}, (), ())


def test_no_rows_no_order() -> None:
    """Nothing to do is no error."""
    assert order_moves([]) == Order({}, {}, (), ())
