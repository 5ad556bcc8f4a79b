"""Transformer, Conformer and pyramidal encoders over every algebra, beside torch's own Transformer."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.models import ConformerEncoder, PyramidalEncoder, TransformerEncoder
from speechkit.models.attention_blocks import BlockParts, DecoderBlock, TransformerBlock

N_PARTS = {"real": 1, "complex": 2, "quaternion": 4}
SMALL = {"channels": 4, "width": 16, "n_heads": 2, "hidden_size": 24, "num_layers": 2}
ENCODERS = {
    "transformer": partial(TransformerEncoder, **SMALL),
    "transformer rotary": partial(TransformerEncoder, **{**SMALL, "channels": 0}, positions="rotary"),
    "conformer": partial(ConformerEncoder, **SMALL, kernel_size=3),
    "conformer layer norm": partial(
        ConformerEncoder, **SMALL, kernel_size=4, normalization="layernorm", positions=None
    ),
    "pyramidal": partial(PyramidalEncoder, hidden_size=8, num_pairings=2),
}


def make(name: str, algebra: str) -> nn.Module:
    n = N_PARTS[algebra]
    return ENCODERS[name]((None, None, 6) if n == 1 else (None, None, 6, n), algebra=algebra).double()


def features(algebra: str, lengths: Tensor) -> Tensor:
    bands = (6,) if algebra == "real" else (6, N_PARTS[algebra])
    x = torch.randn(len(lengths), int(lengths.max()), *bands, dtype=torch.float64)
    for row, n in enumerate(lengths):
        x[row, n:] = 1e3
    return x


@pytest.mark.parametrize("algebra", N_PARTS)
@pytest.mark.parametrize("name", ENCODERS)
def test_padding_never_matters(name, algebra):
    encoder, lengths = make(name, algebra), torch.tensor([19, 6, 11])
    x = features(algebra, lengths)
    encoder.train()(x, lengths)  # statistics that are not 0 and 1
    with torch.no_grad():
        encoded, after = encoder.eval()(x, lengths), encoder.output_lengths(lengths)
        assert after.tolist() == ([19, 6, 11] if name == "transformer rotary" else [5, 2, 3])
        assert encoded.shape == (3, after[0], encoder.output_shape[2])
        for row, n in enumerate(lengths):
            alone = encoder(x[row : row + 1, :n], lengths[row : row + 1])[0]
            torch.testing.assert_close(encoded[row, : after[row]], alone, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("algebra", N_PARTS)
@pytest.mark.parametrize("name", ENCODERS)
def test_gradients_reach_every_weight_and_no_padding(name, algebra):
    encoder, lengths = make(name, algebra).train(), torch.tensor([19, 6, 11])
    x = features(algebra, lengths).requires_grad_()
    encoded = encoder(x, lengths)
    kept = torch.cat([encoded[row, :n] for row, n in enumerate(encoder.output_lengths(lengths))])
    kept.pow(3).sum().backward()
    for key, parameter in encoder.named_parameters():
        # A key's bias adds the same to all scores of a query.
        assert key.endswith("key.bias") or parameter.grad.abs().max() > 0, key
    assert x.grad[1, 6:].abs().max() == 0
    assert x.grad[1, :6].abs().sum() > 0


@pytest.mark.parametrize("name", ENCODERS)
def test_numbers_need_a_half_and_a_quarter_of_the_weights(name):
    def count(algebra: str) -> int:
        """Weights of products, on input of the same real width.

        But for the first convolution, which sees as many numbers of every algebra, and the one of each number
        alone, which has as many weights of every algebra.
        """
        encoder = ENCODERS[name]((None, None, 24 // N_PARTS[algebra], N_PARTS[algebra]), algebra=algebra)
        kinds = ("parts", "linear.weight", "weight_ih_l0", "weight_hh_l0")
        return sum(
            p.numel()
            for key, p in encoder.named_parameters()
            if key.endswith(kinds) and "subsampling" not in key and "depthwise" not in key
        )

    real = count("real")
    assert count("complex") == real / 2
    assert count("quaternion") == real / 4


def copy_attention(ours: nn.Module, theirs: nn.MultiheadAttention) -> None:
    inputs = [ours.query, ours.key, ours.value]
    theirs.in_proj_weight.data = torch.cat([each.weight.parts[0] for each in inputs])
    theirs.in_proj_bias.data = torch.cat([each.bias for each in inputs])
    copy_linear(ours.output, theirs.out_proj)


def copy_linear(ours: nn.Module, theirs: nn.Linear) -> None:
    theirs.weight.data, theirs.bias.data = ours.weight.parts[0], ours.bias


def copy_norm(ours: nn.Module, theirs: nn.LayerNorm) -> None:
    theirs.weight.data, theirs.bias.data = ours.norm.norm.weight, ours.norm.norm.bias


def randomized(block: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return block.double().eval()


PARTS = BlockParts("real", width=8, n_heads=2, hidden_size=12, dropout=0.1)


def test_a_block_of_the_encoder_is_torchs():
    block = randomized(TransformerBlock(PARTS, positions=None))
    oracle = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, norm_first=True).double().eval()
    copy_attention(block.attention, oracle.self_attn)
    copy_linear(block.feed_forward.hidden, oracle.linear1)
    copy_linear(block.feed_forward.output, oracle.linear2)
    copy_norm(block.around_attention, oracle.norm1)
    copy_norm(block.around_feed_forward, oracle.norm2)
    x, lengths = torch.randn(3, 7, 8, dtype=torch.float64), torch.tensor([7, 3, 5])
    is_padding = torch.arange(7) >= lengths.unsqueeze(1)
    expected, got = oracle(x, src_key_padding_mask=is_padding), block(x, lengths)
    for row, n in enumerate(lengths):
        torch.testing.assert_close(got[row, :n], expected[row, :n])


def test_a_block_of_the_decoder_is_torchs():
    block = randomized(DecoderBlock(PARTS, positions=None, memory_width=8))
    oracle = nn.TransformerDecoderLayer(8, 2, 12, batch_first=True, norm_first=True).double().eval()
    copy_attention(block.attention, oracle.self_attn)
    copy_attention(block.cross, oracle.multihead_attn)
    copy_linear(block.feed_forward.hidden, oracle.linear1)
    copy_linear(block.feed_forward.output, oracle.linear2)
    for ours, theirs in (
        (block.around_attention, oracle.norm1),
        (block.around_cross, oracle.norm2),
        (block.around_feed_forward, oracle.norm3),
    ):
        copy_norm(ours, theirs)
    x, memory = torch.randn(3, 4, 8, dtype=torch.float64), torch.randn(3, 7, 8, dtype=torch.float64)
    later = torch.ones(4, 4, dtype=torch.bool).triu(1)
    expected = oracle(x, memory, tgt_mask=later)
    torch.testing.assert_close(block(x, block.cross.project(memory)), expected)


def test_the_macaron_halves_count_half():
    """A Conformer whose other parts add nothing: x + f(x) / 2, twice, then the norm."""
    encoder = ConformerEncoder((None, None, 6), **{**SMALL, "channels": 0, "num_layers": 1}, positions=None)
    block = randomized(encoder.layers.block1)
    with torch.no_grad():
        for part in (block.attention.output, block.convolution.output):
            part.weight.parts.zero_()
            part.bias.zero_()
    x = torch.randn(2, 5, 16, dtype=torch.float64)
    middle = x + block.first(block.around_first.norm(x)) / 2
    expected = block.norm(middle + block.last(block.around_last.norm(middle)) / 2)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TransformerEncoder((None, None, 6), positions="learned"), "positions is 'learned'"),
        (lambda: ConformerEncoder((None, None, 6, 4), algebra="quaternion", width=18), "width of 18"),
        (lambda: ConformerEncoder((None, None, 6, 4), algebra="quaternion", channels=6), "channels.*of 6"),
        (lambda: TransformerEncoder((None, None, 6), algebra="complex"), "multiple of 2"),
        (lambda: PyramidalEncoder((None, None, 6), recurrent="ltsm"), "did you mean 'lstm'"),
    ],
)
def test_mistakes_are_told(build, message):
    with pytest.raises(UserError, match=message):
        build()
