"""What a step-wise decoder remembers of the tokens so far, and how a beam search moves it between beams.

A model that writes token by token gives two functions: `start(...) -> State`, of B utterances, and
`step(tokens (N,), state) -> (log_probs (N, V), state)`, of N = B K beams, ordered by utterance. A step leaves
the state it is given as it was. A search knows no more of a state than what is here.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

# B utterances, K beams of each, N = B K rows
Tree = Any  # a tensor, None, or a tuple, named tuple, list or mapping of trees


class State(NamedTuple):
    """A tree of tensors for utterances, and one for beams.

    fixed: what does not change while tokens are written (encoded frames and what is computed of them); first
        axis B, the same for all beams of an utterance, never repeated or put in another order.
    moving: what the tokens so far make (key-value caches, hidden states); first axis N,
        utterance by utterance.
    """

    fixed: Tree
    moving: Tree


def map_tree(function: Callable[[Tensor], Tensor], tree: Tree) -> Tree:
    """The same tree with `function` of each tensor.

    >>> import torch
    >>> map_tree(lambda x: 2 * x, {"a": (torch.tensor(1), None), "b": [torch.tensor(3)]})
    {'a': (tensor(2), None), 'b': [tensor(6)]}
    """
    if tree is None:
        return None
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, Mapping):
        return {key: map_tree(function, each) for key, each in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):  # a named tuple takes its items one by one
        return type(tree)(*(map_tree(function, each) for each in tree))
    if isinstance(tree, (tuple, list)):
        return type(tree)(map_tree(function, each) for each in tree)
    raise TypeError(f"a state holds tensors, not {type(tree).__name__}")


def repeat_rows(tree: Tree, n_times: int) -> Tree:
    """Each row `n_times`, one after another: first axes B to B `n_times`.

    >>> import torch
    >>> repeat_rows(torch.tensor([[1], [2]]), 2).tolist()
    [[1], [1], [2], [2]]
    """
    return map_tree(lambda x: x.repeat_interleave(n_times, 0), tree)


def select_rows(tree: Tree, rows: Tensor) -> Tree:
    """The rows of these indices (M,), in their order: first axes become M.

    >>> import torch
    >>> select_rows([torch.tensor([[1], [2], [3]])], torch.tensor([2, 0, 2]))[0].tolist()
    [[3], [1], [3]]
    """
    return map_tree(lambda x: x.index_select(0, rows.to(x.device)), tree)


def start_beams(state: State, n_beams: int) -> State:
    """The state of B utterances with K = `n_beams` equal beams each."""
    return State(state.fixed, repeat_rows(state.moving, n_beams))


def select_beams(state: State, rows: Tensor) -> State:
    """The state after each beam took the place of another of its utterance: `rows` (N,) of 0 to N - 1."""
    return State(state.fixed, select_rows(state.moving, rows))


def select_utterances(state: State, utterances: Tensor, rows: Tensor) -> State:
    """The state of some utterances (M,) and of the rows of their beams (M K,): others are done."""
    return State(select_rows(state.fixed, utterances), select_rows(state.moving, rows))
