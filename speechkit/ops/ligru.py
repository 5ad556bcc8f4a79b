"""The recurrence of the light gated recurrent unit, with a backward pass of few large products.

Ravanelli, Brakel, Omologo, Bengio: Light gated recurrent units for speech recognition, IEEE Transactions on
Emerging Topics in Computational Intelligence, 2018.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from speechkit.ops.scanned import scan_states

# T frames, D directions, B batch, H hidden units


def ligru_states(inputs: Tensor, weight: Tensor, mask: Tensor | None = None) -> Tensor:
    """States h_1, ..., h_T (T, D, B, H) from h_0 = 0, all directions at once.

    `inputs` (T, D, B, 2 H) are what the frames add to update gate and candidate, `weight` (D, H, 2 H) what
    the state before is multiplied by, `mask` (D, B, H) a dropout's factor for every frame's candidate:
    z = sigmoid(a_z + h U_z), c = mask relu(a_c + h U_c), h' = z h + (1 - z) c.

    >>> ligru_states(torch.tensor([[[[0.0, 4.0]]]]), torch.zeros(1, 1, 2)).item()
    2.0
    """
    if torch.compiler.is_exporting():
        return _scan(inputs, weight, mask)
    if inputs.shape[0] == 0:
        return inputs.new_zeros(*inputs.shape[:3], weight.shape[1])
    return _run(inputs, weight, mask)


@torch.compiler.disable
def _run(inputs: Tensor, weight: Tensor, mask: Tensor | None) -> Tensor:
    """Not for torch.compile, which would unroll the frames."""
    with torch.autocast(inputs.device.type, enabled=False):
        return _States.apply(inputs.to(weight.dtype), weight, mask)


def _scan(inputs: Tensor, weight: Tensor, mask: Tensor | None) -> Tensor:
    """The same by plain operations, for graphs that are written out."""
    inputs, weight = inputs.to(weight.dtype), weight.detach()

    def step(state: tuple[Tensor, ...], frame: Tensor) -> tuple[Tensor, ...]:
        update, candidate = torch.baddbmm(frame, state[0], weight).chunk(2, -1)
        candidate = candidate.relu() if mask is None else candidate.relu() * mask
        return (torch.lerp(candidate, state[0], update.sigmoid()),)

    first = inputs.new_zeros(*inputs.shape[1:3], weight.shape[1])
    return scan_states(step, (first,), inputs)[1]


class _States(torch.autograd.Function):
    """Every frame writes into one buffer; nothing is recorded for it but this one node."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, mask: Tensor | None) -> Tensor:
        n_frames, n_directions, n_items, _ = inputs.shape
        n_hidden = weight.shape[1]
        gates = torch.empty_like(inputs, memory_format=torch.contiguous_format)
        states = inputs.new_zeros(n_frames + 1, n_directions, n_items, n_hidden)
        updates, candidates = gates[..., :n_hidden].unbind(), gates[..., n_hidden:].unbind()
        rows, frames, kept = gates.unbind(), inputs.unbind(), states.unbind()
        for t in range(n_frames):
            torch.baddbmm(frames[t], kept[t], weight, out=rows[t])
            updates[t].sigmoid_()
            candidates[t].relu_()
            if mask is not None:
                candidates[t].mul_(mask)
            torch.lerp(candidates[t], kept[t], updates[t], out=kept[t + 1])
        ctx.save_for_backward(gates, states, weight, mask)
        return states[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        gates, states, weight, mask = ctx.saved_tensors
        n_hidden = weight.shape[1]
        update, candidate = gates[..., :n_hidden], gates[..., n_hidden:]
        factors = _factors(update, candidate, states[:-1], mask)
        gradient = torch.empty_like(gates)
        of_frames = gradient.unflatten(-1, (2, n_hidden)).unbind()
        rows, factor_rows, updates = gradient.unbind(), factors.unbind(), update.unbind()
        upstreams, back = upstream.unbind(), weight.transpose(1, 2).contiguous()
        carried = torch.zeros_like(upstreams[0])
        for t in range(len(rows) - 1, -1, -1):
            carried = carried + upstreams[t]
            torch.mul(factor_rows[t], carried.unsqueeze(-2), out=of_frames[t])
            carried = torch.baddbmm(carried * updates[t], rows[t], back)
        before = states[:-1].permute(1, 3, 0, 2).flatten(2)  # (D, H, T B): all frames in one product
        return gradient, before @ gradient.transpose(0, 1).flatten(1, 2), None


def _factors(update: Tensor, candidate: Tensor, before: Tensor, mask: Tensor | None) -> Tensor:
    """What a state's gradient is multiplied by on its way to both gates' inputs, (T, D, B, 2, H)."""
    to_update = (before - candidate) * update * (1 - update)
    to_candidate = (1 - update) * (candidate > 0)
    if mask is not None:
        to_candidate = to_candidate * mask
    return torch.stack((to_update, to_candidate), -2)
