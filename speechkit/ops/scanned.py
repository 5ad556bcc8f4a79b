"""Recurrences as one node of a graph, whatever the number of frames: what torch.export and ONNX write out.

torch's fused kernels are taken apart frame by frame when a graph is written, which fixes the number of
frames. `scan` is one node with the work of a frame inside, and ONNX has the same. Exported graphs are for
inference: nothing here has a gradient.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

# T frames, B batch, D directions, H hidden units, G gates
State = tuple[Tensor, ...]
Step = Callable[[State, Tensor], State]


def scan_states(step: Step, first: State, frames: Tensor) -> tuple[State, Tensor]:
    """The last state, and the first tensor of every state: (T, ...) for `frames` (T, ...).

    `step(state, frame)` gives the next state.
    """
    from torch._higher_order_ops.scan import scan  # torch has no public name for it yet

    def keep(state: State, frame: Tensor) -> tuple[State, Tensor]:
        after = step(state, frame)
        return after, after[0].clone()  # a scan's outputs may not share memory

    return scan(keep, tuple(each.detach() for each in first), frames.detach(), dim=0)


def scan_kernel(
    cell: str, x: Tensor, weights: Sequence[Tensor]
) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
    """What torch's kernel of one layer and direction gives: (B, T, I) to (B, T, H) and the state (1, B, H).

    `cell` is rnn (tanh), lstm or gru; `weights` are (G H, I), (G H, H), and with biases two of (G H,).
    """
    of_input, of_state, *biases = (each.detach() for each in weights)
    bias_of_input, bias_of_state = biases or (None, None)
    frames = F.linear(x, of_input, bias_of_input).transpose(0, 1)
    first = tuple(x.new_zeros(x.shape[0], of_state.shape[1]) for _ in range(2 if cell == "lstm" else 1))

    def step(state: State, frame: Tensor) -> State:
        return STEPS[cell](state, frame, F.linear(state[0], of_state, bias_of_state))

    last, states = scan_states(step, first, frames)
    ends = [each.unsqueeze(0) for each in last]
    return states.transpose(0, 1), ends[0] if len(ends) == 1 else (ends[0], ends[1])


def _rnn(state: State, frame: Tensor, recurrent: Tensor) -> State:
    return (torch.tanh(frame + recurrent),)


def _lstm(state: State, frame: Tensor, recurrent: Tensor) -> State:
    enter, forget, candidate, leave = (frame + recurrent).chunk(4, -1)
    cell = forget.sigmoid() * state[1] + enter.sigmoid() * candidate.tanh()
    return leave.sigmoid() * cell.tanh(), cell


def _gru(state: State, frame: Tensor, recurrent: Tensor) -> State:
    reset, update, candidate = frame.chunk(3, -1)
    reset_by, update_by, candidate_by = recurrent.chunk(3, -1)
    keep = (update + update_by).sigmoid()
    new = torch.tanh(candidate + (reset + reset_by).sigmoid() * candidate_by)
    return (new + keep * (state[0] - new),)


STEPS = {"rnn": _rnn, "lstm": _lstm, "gru": _gru}
