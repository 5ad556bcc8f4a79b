"""Positions, cached attention, the Conformer's convolution, subsampling: beside torch's layers and loops."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from speechkit.errors import UserError
from speechkit.nnet import (
    CMultiheadAttention,
    ConformerConvolution,
    ConvSubsampling,
    HyperMultiheadAttention,
    JoinFrames,
    MultiheadAttention,
    QMultiheadAttention,
    SinusoidalPositions,
)
from speechkit.nnet.hyper_attention import memory_mask
from speechkit.nnet.positions import rotate
from speechkit.ops.algebra import to_complex

# B batch, T frames, H heads, E values of a head, n parts


def randomized(layer: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer.double().eval()


def test_sinusoids_are_those_of_the_paper():
    x = SinusoidalPositions(input_size=6)(torch.zeros(2, 5, 6, dtype=torch.float64), first=3)
    for t in range(5):
        for k in range(3):
            angle = (3 + t) / 10000 ** (2 * k / 6)
            assert x[1, t, k].item() == pytest.approx(math.cos(angle), abs=1e-12)
            assert x[1, t, k + 3].item() == pytest.approx(math.sin(angle), abs=1e-12)


def test_rotary_positions_turn_complex_numbers():
    x = torch.randn(2, 3, 5, 8, dtype=torch.float64)
    frequencies = torch.tensor([10000 ** (-2 * k / 8) for k in range(4)], dtype=torch.float64)
    turns = torch.polar(torch.ones(5, 4).double(), torch.arange(7, 12).unsqueeze(1) * frequencies)
    torch.testing.assert_close(to_complex(rotate(x, first=7)), to_complex(x) * turns)
    # so a score depends on the difference of positions alone
    query, key = torch.randn(2, 1, 1, 1, 8, dtype=torch.float64)
    scores = [(rotate(query, 4 + shift) * rotate(key, 1 + shift)).sum() for shift in (0, 5, 90)]
    torch.testing.assert_close(torch.stack(scores), scores[0].expand(3))
    assert (scores[0] - (rotate(query, 5) * rotate(key, 1)).sum()).abs() > 1e-3


def test_relative_attention_equals_a_loop_over_pairs():
    layer = randomized(MultiheadAttention(2, input_size=4, positions="relative"))
    x = torch.randn(1, 5, 4, dtype=torch.float64)
    relative, width = layer.relative, 4
    query, key, value = (each(x)[0].unflatten(-1, (2, 2)) for each in (layer.query, layer.key, layer.value))
    heads = []
    for head in range(2):
        scores = torch.zeros(5, 5, dtype=torch.float64)
        for i in range(5):
            for j in range(5):
                angle = [(i - j) / 10000 ** (2 * k / width) for k in range(width // 2)]
                wave = [math.cos(a) for a in angle] + [math.sin(a) for a in angle]
                distance = (relative.linear.weight.parts[0] @ torch.tensor(wave).double()).view(2, 2)[head]
                scores[i, j] = (query[i, head] + relative.content_bias[head, 0]) @ key[j, head]
                scores[i, j] += (query[i, head] + relative.distance_bias[head, 0]) @ distance
        heads.append((scores / 2**0.5).softmax(-1) @ value[:, head])
    torch.testing.assert_close(layer(x)[0], layer.output(torch.cat(heads, -1)))


@pytest.mark.parametrize("positions", ["rotary", "relative"])
def test_frames_later_in_time_attend_alike(positions):
    """Only distances count: frames that come twice, far apart, get the same from themselves."""
    layer = randomized(QMultiheadAttention(2, input_size=4, positions=positions, causal=True))
    x = torch.randn(1, 4, 16, dtype=torch.float64)
    cache = layer.empty(x)
    for noise in torch.randn(3, 1, 1, 16, dtype=torch.float64):
        _, cache = layer.step(noise, cache)
    late = cache
    outputs = []
    for frame in x.split(1, 1):
        _, late = layer.step(frame, late)
        own = type(late)(*(each[:, :, 3:] for each in late))  # the three frames before are not looked at
        y = layer._weigh(rotated_query(layer, frame, late), own, None, False)
        outputs.append(y)
    torch.testing.assert_close(torch.cat(outputs, 1), layer(x))


def rotated_query(layer, frame, cache):
    query = layer._heads(layer.query(frame))
    return rotate(query, cache.keys.shape[2] - 1) if layer.is_rotary else query


def test_positions_tell_the_order():
    x = torch.randn(1, 6, 8, dtype=torch.float64)
    for positions, is_seen in ((None, False), ("rotary", True), ("relative", True)):
        layer = randomized(CMultiheadAttention(2, input_size=4, positions=positions))
        difference = (layer(x.flip(1)).flip(1) - layer(x)).abs().max()
        assert (difference > 1e-3) == is_seen


@pytest.mark.parametrize("positions", [None, "rotary", "relative"])
@pytest.mark.parametrize("algebra", ["real", "quaternion"])
def test_steps_with_a_cache_equal_causal_attention(positions, algebra):
    layer = HyperMultiheadAttention(2, input_size=4, causal=True, positions=positions, algebra=algebra)
    layer = randomized(layer)
    x = torch.randn(3, 7, 4 * layer.n_parts, dtype=torch.float64)
    cache, outputs = layer.empty(x), []
    for frame in x.split(1, 1):
        y, cache = layer.step(frame, cache)
        outputs.append(y)
    torch.testing.assert_close(torch.cat(outputs, 1), layer(x))


def test_attention_to_another_sequence_is_torchs():
    layer = randomized(MultiheadAttention(2, input_size=6, memory_size=5))
    oracle = nn.MultiheadAttention(6, 2, kdim=5, vdim=5, batch_first=True).double()
    oracle.q_proj_weight.data, oracle.k_proj_weight.data, oracle.v_proj_weight.data = (
        each.weight.parts[0] for each in (layer.query, layer.key, layer.value)
    )
    oracle.in_proj_bias.data = torch.cat([each.bias for each in (layer.query, layer.key, layer.value)])
    oracle.out_proj.weight.data, oracle.out_proj.bias.data = layer.output.weight.parts[0], layer.output.bias
    x, memory = torch.randn(3, 4, 6).double(), torch.randn(3, 7, 5).double()
    lengths = torch.tensor([7, 3, 5])
    is_padding = torch.arange(7) >= lengths.unsqueeze(1)
    expected, weights = oracle(x, memory, memory, key_padding_mask=is_padding, average_attn_weights=False)
    known, mask = layer.project(memory), memory_mask(lengths, memory)
    torch.testing.assert_close(layer.attend(x, known, mask), expected)
    torch.testing.assert_close(layer.weights(x, known, mask), weights)


def test_the_conformers_convolution_is_torchs_layers_in_a_row():
    layer = randomized(ConformerConvolution(5, input_size=4)).train()
    x = torch.randn(3, 9, 4, dtype=torch.float64)
    gated = functional.glu(functional.linear(x, layer.gated.weight.parts[0], layer.gated.bias))
    depthwise = functional.conv1d(gated.transpose(1, 2), layer.depthwise.weight.parts[0], padding=2, groups=4)
    norm = nn.BatchNorm1d(4).double()
    norm.weight.data, norm.bias.data = layer.norm.norm.weight.flatten(), layer.norm.norm.bias.flatten()
    hidden = functional.silu(norm(depthwise)).transpose(1, 2)
    expected = functional.linear(hidden, layer.output.weight.parts[0], layer.output.bias)
    torch.testing.assert_close(layer(x), expected)


def test_the_conformers_norm_counts_true_frames_alone():
    layer = randomized(ConformerConvolution(3, input_size=2, algebra="complex"))
    x, lengths = torch.randn(2, 9, 4, dtype=torch.float64), torch.tensor([9, 4])
    x[1, 4:] = 1e3
    y = layer.train()(x, lengths)
    mean = layer.norm.running_mean.clone()
    x[1, 4:] = -1e3
    layer.norm.running_mean.zero_()
    torch.testing.assert_close(layer(x, lengths)[1, :4], y[1, :4])
    torch.testing.assert_close(layer.norm.running_mean, mean)


def test_a_number_is_gated_and_convolved_alone():
    """One number in, changed: of the depthwise convolution's outputs only that number changes."""
    layer = randomized(ConformerConvolution(3, input_size=3, algebra="quaternion"))
    x = torch.randn(1, 6, 12, dtype=torch.float64)
    other = x.clone()
    other[..., [1, 4, 7, 10]] += 1  # all parts of the second number
    difference = (layer.depthwise(other) - layer.depthwise(x)).abs().amax((0, 1))
    assert difference.view(4, 3).amax(0).gt(0).tolist() == [False, True, False]


def test_subsampling_is_two_of_torchs_convolutions():
    layer = randomized(ConvSubsampling(3, 2, input_shape=(None, None, 10)))
    x = torch.randn(2, 11, 10, dtype=torch.float64)
    y = x.unsqueeze(1)
    for conv in (layer.layers.conv1, layer.layers.conv2):
        y = functional.conv2d(y, conv.weight.parts[0], conv.bias, stride=2, padding=1).relu()
    linear = layer.layers.linear
    expected = functional.linear(y.permute(0, 2, 3, 1).flatten(2), linear.weight.parts[0], linear.bias)
    torch.testing.assert_close(layer(x), expected)
    assert layer.output_lengths(torch.tensor([11, 8, 1])).tolist() == [3, 2, 1]


def test_frames_are_joined_part_by_part():
    x = torch.tensor([[[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]]).expand(2, 3, 2)
    joined = JoinFrames(2, "complex")(x, torch.tensor([3, 1]))
    assert joined[0].tolist() == [[1, 2, 10, 20], [3, 0, 30, 0]]
    assert joined[1, 0].tolist() == [1, 0, 10, 0]
    assert JoinFrames(2).output_lengths(torch.tensor([3, 1, 4])).tolist() == [2, 1, 2]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MultiheadAttention(2, input_size=6, positions="rotary"), "positions of 3 values.*even"),
        (lambda: MultiheadAttention(1, input_size=3, positions="relative"), "positions of 3 values"),
        (lambda: MultiheadAttention(2, input_size=4, positions="absolute"), "positions is 'absolute'"),
        (lambda: SinusoidalPositions(input_size=5), "positions of 5 values"),
        (lambda: ConformerConvolution(3, input_size=4, normalization="batch"), "normalization is 'batch'"),
        (lambda: ConvSubsampling(3, 0, input_shape=(2, 9, 4)), "channels is 0"),
        (lambda: JoinFrames(0), "n_frames is 0"),
    ],
)
def test_mistakes_are_told(build, message):
    with pytest.raises(UserError, match=message):
        build()
