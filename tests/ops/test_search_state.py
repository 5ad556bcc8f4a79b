"""Trees of tensors: beams repeated, put in another order, dropped; what is of the utterance stays."""

from collections import namedtuple

import pytest
import torch

from speechkit.ops.search_state import (
    State,
    map_tree,
    select_beams,
    select_utterances,
    start_beams,
)

Pair = namedtuple("Pair", "keys values")


def test_beams_of_an_utterance_stand_together_and_the_fixed_part_stays():
    fixed, moving = torch.tensor([10, 20]), torch.tensor([[1.0], [2.0]])
    state = start_beams(State((fixed,), [Pair(moving, None), {"h": moving + 5}]), 3)
    assert state.fixed[0] is fixed
    assert state.moving[0].keys.flatten().tolist() == [1, 1, 1, 2, 2, 2]
    numbered = State(state.fixed, {"h": torch.arange(6)})
    assert select_beams(numbered, torch.tensor([2, 2, 0, 5, 3, 3])).moving["h"].tolist() == [2, 2, 0, 5, 3, 3]
    rest = select_utterances(numbered, torch.tensor([1]), torch.tensor([3, 4, 5]))
    assert rest.fixed[0].tolist() == [20]
    assert rest.moving["h"].tolist() == [3, 4, 5]


def test_the_kinds_of_containers_are_kept():
    tree = (Pair(torch.zeros(1), [None]), {"a": torch.ones(1)})
    same = map_tree(lambda x: x + 1, tree)
    assert type(same) is tuple
    assert type(same[0]) is Pair
    assert (same[0].values, same[0].keys.item(), same[1]["a"].item()) == ([None], 1, 2)
    with pytest.raises(TypeError, match="not int"):
        map_tree(lambda x: x, (3,))
