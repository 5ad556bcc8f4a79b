"""The recurrence of the light gated recurrent unit, with a backward pass of few large products.

Ravanelli, Brakel, Omologo, Bengio: Light gated recurrent units for speech recognition, IEEE Transactions on
Emerging Topics in Computational Intelligence, 2018.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from speechkit.ops.graphs import is_exporting, outside_graphs
from speechkit.ops.scanned import scan_states

# T frames, D directions, B batch, n parts, H hidden numbers


def ligru_states(
    inputs: Sequence[Tensor], weight: Tensor, mask: Tensor | None = None, n_parts: int = 1
) -> Sequence[Tensor]:
    """States h_1, ..., h_T from h_0 = 0 for each of D directions, (B, T, n H), all in one loop over frames.

    `inputs`, (B, T, n 2 H) for each direction, are what the frames add to the gates: part by part, and in a
    part first the update gate, then the candidate. `weight` (D, n 2 H, n H) is what multiplies the state
    before, `mask` (D, B, n H) a dropout's factor for every frame's candidate:
    z = sigmoid(a_z + U_z h), c = mask relu(a_c + U_c h), h' = z h + (1 - z) c.

    >>> ligru_states([torch.tensor([[[0.0, 4.0]]])], torch.zeros(1, 2, 1))[0].item()
    2.0
    """
    if is_exporting():
        return _scan(inputs, weight, mask, n_parts)
    if inputs[0].shape[1] == 0:
        return [each.new_zeros(*each.shape[:2], weight.shape[2]) for each in inputs]
    return _run(inputs, weight, mask, n_parts)


@outside_graphs
def _run(inputs: Sequence[Tensor], weight: Tensor, mask: Tensor | None, n_parts: int) -> Sequence[Tensor]:
    """Not for torch.compile, which would unroll the frames."""
    with torch.autocast(weight.device.type, enabled=False):
        return _States.apply(n_parts, weight, mask, *(each.to(weight.dtype) for each in inputs))


def _scan(inputs: Sequence[Tensor], weight: Tensor, mask: Tensor | None, n_parts: int) -> tuple[Tensor, ...]:
    """The same by plain operations, for graphs that are written out."""
    turned = weight.detach().mT

    def step(state: tuple[Tensor, ...], frame: Tensor) -> tuple[Tensor, ...]:
        gates = torch.baddbmm(frame, state[0], turned).unflatten(-1, (n_parts, 2, -1))
        update, candidate = (gate.flatten(-2) for gate in gates.unbind(-2))
        candidate = candidate.relu() if mask is None else candidate.relu() * mask
        return (torch.lerp(candidate, state[0], update.sigmoid()),)

    frames = torch.stack(list(inputs)).to(weight.dtype).permute(2, 0, 1, 3)
    first = frames.new_zeros(*frames.shape[1:3], weight.shape[2])
    return scan_states(step, (first,), frames)[1].permute(1, 2, 0, 3).unbind()


class _States(torch.autograd.Function):
    """Every frame writes into one buffer; nothing is recorded for it but this one node.

    Large blocks of fresh memory cost more than the arithmetic, so few are asked for.
    """

    @staticmethod
    def forward(
        ctx: Any, n_parts: int, weight: Tensor, mask: Tensor | None, *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        n_items, n_frames, width = inputs[0].shape
        gates = weight.new_empty(n_frames, len(inputs), n_items, width)
        for direction, each in enumerate(inputs):
            gates[:, direction] = each.transpose(0, 1)
        states = weight.new_empty(n_frames + 1, len(inputs), n_items, width // 2)
        states[0] = 0
        numbers = states.unflatten(-1, (n_parts, -1))
        factor = None if mask is None else mask.unflatten(-1, (n_parts, -1))
        updates, candidates = (gate.unbind() for gate in _gates(gates, n_parts))
        rows, kept, kept_numbers, turned = gates.unbind(), states.unbind(), numbers.unbind(), weight.mT
        for t in range(n_frames):
            rows[t].baddbmm_(kept[t], turned)
            updates[t].sigmoid_()
            candidates[t].relu_()
            if factor is not None:
                candidates[t].mul_(factor)
            torch.lerp(candidates[t], kept_numbers[t], updates[t], out=kept_numbers[t + 1])
        ctx.save_for_backward(gates, states, weight, factor)
        ctx.n_parts = n_parts
        outputs = tuple(each.transpose(0, 1) for each in states[1:].unbind(1))
        # Of both directions one tensor is made; that of one is the layer's output, on which the next layer
        # may work in place: not on what is kept for the backward pass.
        return outputs if len(outputs) > 1 else (outputs[0].clone(memory_format=torch.contiguous_format),)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        gates, states, weight, factor = ctx.saved_tensors
        update, candidate = _gates(gates, ctx.n_parts)
        before = states[:-1].unflatten(-1, (ctx.n_parts, -1))
        gradient = torch.empty_like(gates)
        _write_slopes(_gates(gradient, ctx.n_parts), update, candidate, before, factor)
        rows, by_number = gradient.unbind(), gradient.unflatten(-1, (ctx.n_parts, 2, -1)).unbind()
        from_above = torch.stack([each.transpose(0, 1) for each in upstream], 1)
        from_above, updates = from_above.unflatten(-1, (ctx.n_parts, -1)).unbind(), update.unbind()
        carried, back = from_above[-1], weight.mT.contiguous().mT  # a product by rows is the faster
        for t in range(len(rows) - 1, -1, -1):
            by_number[t].mul_(carried.unsqueeze(-2))
            if t:
                carried = torch.addcmul(from_above[t - 1], carried, updates[t])
                carried.view(states.shape[1:]).baddbmm_(rows[t], back)
        # all frames in one product: (D, n 2 H, B T) by (D, B T, n H)
        of_inputs = gradient.permute(1, 2, 0, 3).contiguous()
        of_weight = of_inputs.flatten(1, 2).mT @ states[:-1].permute(1, 2, 0, 3).flatten(1, 2)
        return None, of_weight, None, *of_inputs.unbind()


def _gates(rows: Tensor, n_parts: int) -> tuple[Tensor, ...]:
    """Update gate and candidate, (..., n, H) each, of (..., n 2 H)."""
    return rows.unflatten(-1, (n_parts, 2, -1)).unbind(-2)


def _write_slopes(
    slopes: tuple[Tensor, ...], update: Tensor, candidate: Tensor, before: Tensor, factor: Tensor | None
) -> None:
    """What a state's gradient is multiplied by on its way to both gates' inputs."""
    to_update, to_candidate = slopes
    torch.sub(before, candidate, out=to_update).mul_(update)
    to_update.addcmul_(to_update, update, value=-1)  # (h - c) z (1 - z)
    torch.sign(candidate, out=to_candidate)
    to_candidate.addcmul_(to_candidate, update, value=-1)  # (1 - z) where the candidate is not zero
    if factor is not None:
        to_candidate.mul_(factor)
