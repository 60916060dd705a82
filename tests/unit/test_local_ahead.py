import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.local.ahead import ReadAhead


@given(st.lists(st.integers(), max_size=30), st.integers(1, 5))
def test_the_same_items_in_the_same_order(items: list[int], depth: int) -> None:
    with ReadAhead(iter(items), depth) as ahead:
        assert list(ahead) == items


def test_an_error_comes_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("broken")

    seen = []
    with ReadAhead(source()) as ahead, pytest.raises(OSError, match="broken"):
        for item in ahead:
            seen.append(item)
    assert seen == [1, 2]


def test_leaving_early_stops_the_thread_and_never_reads_far_ahead() -> None:
    made = 0

    def source() -> Iterator[int]:
        nonlocal made
        while True:
            made += 1
            yield made

    before = threading.active_count()
    with ReadAhead(source(), depth=3) as ahead:
        for item in ahead:
            if item == 5:
                break
    assert threading.active_count() == before
    assert made <= 5 + 3 + 1
