"""Processes share out the batches of every group: all of them, once, in turns."""

from hypothesis import given
from hypothesis import strategies as st

from speechkit.ops.sharing import Share, take_turns

numbers = st.integers(1, 5)


@given(st.integers(0, 23), numbers, numbers)
def test_every_batch_is_taken_once_and_no_turn_crosses_a_group(n: int, n_ranks: int, per_step: int) -> None:
    batches = [[index] * (1 + index % 3) for index in range(n)]
    shares = [list(take_turns(batches, Share(rank, n_ranks, per_step))) for rank in range(n_ranks)]
    assert len({len(share) for share in shares}) == 1
    expected = 0
    for at_once in zip(*shares, strict=True):
        turns = {turn for _, turn in at_once}
        assert len(turns) == 1
        taken = [own for own, _ in at_once if own is not None]
        assert taken == batches[expected : expected + len(taken)]  # consecutive, in the order of the ranks
        ends_group = (expected + len(taken)) % per_step == 0 or expected + len(taken) == n
        assert turns == {(len(taken), sum(map(len, taken)), ends_group)}
        assert len({(expected + index) // per_step for index in range(len(taken))}) == 1
        expected += len(taken)
    assert expected == n


def test_a_group_of_as_many_batches_as_processes_is_one_turn() -> None:
    assert [turn.n_batches for _, turn in take_turns(["ab"] * 8, Share(0, 4, 4))] == [4, 4]
