"""What is known of others on a location, and how it is used, without a clock."""

from leadconnector_async._limiter.congestion import CongestionWindow

T = 10.0


def make_open(remaining: int, now: float = 0.0) -> CongestionWindow:
    """A window that has heard of what remains, and enough good answers to use it."""
    window = CongestionWindow()
    window.learn(1, 1, remaining, now)
    for _ in range(100):
        window.grow(now, T)
    return window


def test_what_the_server_says_is_left_is_a_cap() -> None:
    """Two left are two under way, whatever our own count says."""
    window = make_open(2)
    assert [window.allows(0.0, T, in_flight, 50) for in_flight in range(4)] == [True, True, False, False]


def test_an_old_word_counts_for_half() -> None:
    """After half an interval without an answer, others may have used the rest."""
    window = make_open(20)
    assert window.allows(5.1, T, 9, 10)
    assert not window.allows(5.1, T, 10, 10)
    assert window.allows(4.9, T, 10, 10)


def test_of_answers_that_were_under_way_together_the_smallest_counts() -> None:
    """Answers overtake each other; only one to a later request can say more."""
    window = CongestionWindow()
    assert window.learn(5, 9, 40, 1.0)
    assert not window.learn(7, 9, 60, 1.1)
    assert window.learn(6, 9, 30, 1.2)
    assert window.remaining == 30
    assert window.learn(10, 12, 80, 1.3)
    assert window.remaining == 80


def test_others_are_seen_when_more_is_used_than_we_can_have_used() -> None:
    """From then on less than half of our share is under way at a time."""
    window = make_open(40)
    window.record_foreign(surely=30, probably=30, now=0.0, interval=T)
    assert window.decide_mode(0.0, T) == "paced"
    assert window.allows(0.0, T, 3, 30)
    assert not window.allows(0.0, T, 8, 30)
    assert window.decide_mode(31.0, T) == "burst"


def test_a_refusal_proves_others_and_each_success_forgives_a_little() -> None:
    """Additive increase, multiplicative decrease."""
    window = make_open(40)
    window.shrink(0.0, proven=True)
    assert window.decide_mode(0.0, T) == "shared"
    for _ in range(200):
        window.grow(1.0, T)
    assert window.decide_mode(1.0, T) == "paced"


def test_with_nothing_left_beside_others_one_looks_again_after_a_while() -> None:
    """Not at once: that would be a refusal."""
    window = make_open(0)
    window.shrink(0.0, proven=True)
    assert not window.allows(4.9, T, 0, 0)
    assert window.compute_next(1.0, T) == 5.0
    assert window.allows(5.0, T, 0, 0)


def test_own_slots_that_came_free_may_be_used_before_the_server_says_so() -> None:
    """What the last word left is counted on with them."""
    window = make_open(0)
    assert window.count_remaining(1.0, T, 0) == 0
    window.freed += 1
    assert window.count_remaining(2.0, T, 0) == 1


def test_an_old_number_is_forgotten_when_answers_stop_saying_it() -> None:
    """A server that states what is left on refusals only must not hold a location back for ever."""
    window = make_open(0)
    window.expire(2, 5.0, T)
    assert window.remaining == 0
    window.expire(2, 10.1, T)
    assert window.remaining is None
    assert window.allows(10.1, T, 30, 30)
