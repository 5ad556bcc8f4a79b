"""Attention over an algebra, against torch's real one and an explicit loop over torch's complex numbers."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from speechkit.errors import UserError
from speechkit.nnet import CMultiheadAttention, HyperMultiheadAttention, QMultiheadAttention
from speechkit.ops.algebra import multiply, to_complex


def test_over_real_numbers_attention_is_torchs():
    layer = HyperMultiheadAttention(2, input_size=6, algebra="real")
    oracle = nn.MultiheadAttention(6, 2, batch_first=True)
    inputs = [layer.query, layer.key, layer.value]
    oracle.in_proj_weight.data = torch.cat([each.weight.parts[0] for each in inputs])
    oracle.out_proj.weight.data = layer.output.weight.parts[0]
    x, lengths = torch.randn(3, 7, 6), torch.tensor([7, 3, 5])
    is_padding = torch.arange(7) >= lengths.unsqueeze(1)
    expected, _ = oracle(x, x, x, key_padding_mask=is_padding, need_weights=False)
    torch.testing.assert_close(layer(x, lengths), expected)


def test_complex_attention_equals_a_loop_over_heads():
    layer = CMultiheadAttention(2, input_size=6).double()
    x = torch.randn(3, 7, 12, dtype=torch.float64)
    query, key, value = (to_complex(each(x)) for each in (layer.query, layer.key, layer.value))
    heads = []
    for head in (slice(0, 3), slice(3, 6)):
        scores = (query[..., head].conj() @ key[..., head].transpose(1, 2)).real / 6**0.5
        heads.append(scores.softmax(-1).to(torch.complex128) @ value[..., head])
    weight = torch.complex(*layer.output.weight.parts)
    torch.testing.assert_close(to_complex(layer(x)), functional.linear(torch.cat(heads, -1), weight))


def test_units_go_through_attention():
    layer = QMultiheadAttention(2, input_size=4, bias=False).double()
    x = torch.randn(2, 5, 16, dtype=torch.float64)
    unit = functional.normalize(torch.randn(4, dtype=torch.float64), dim=0).repeat_interleave(4).expand_as(x)
    expected = multiply(layer(x), unit, "quaternion")
    torch.testing.assert_close(layer(multiply(x, unit, "quaternion")), expected)


@pytest.mark.parametrize("lengths", [None, torch.tensor([7, 5])])
def test_causal_attention_looks_at_no_later_frame(lengths):
    layer, x = CMultiheadAttention(1, input_size=3, causal=True), torch.randn(2, 7, 6)
    changed = x.clone()
    changed[:, 4:] += 1
    difference = (layer(x, lengths) - layer(changed, lengths)).abs().amax((0, 2))
    assert difference[:4].max() == 0
    assert difference[4:].min() > 0


def test_heads_share_the_numbers():
    with pytest.raises(UserError, match="multiple of the heads"):
        QMultiheadAttention(3, input_size=4)
