"""Separators in the time domain, as their YAML pieces make them: padding, silence, short input, gradients."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from speechkit import config
from speechkit.errors import UserError
from speechkit.losses import separation_loss
from speechkit.models import (
    DualPath,
    FilterbankDecoder,
    FilterbankEncoder,
    MaskingSeparator,
    RecurrentPath,
    RecurrentTransformerPath,
    TemporalConvNet,
)

PIECES = Path(__file__).resolve().parents[2] / "configs" / "separators"
SMALL = {
    "conv_tasnet": {
        "n_filters": 6,
        "width": 4,
        "hidden_size": 5,
        "skip_width": 3,
        "n_blocks": 2,
        "n_repeats": 2,
    },
    "dprnn": {"n_filters": 6, "width": 4, "hidden_size": 3, "num_layers": 2},
    "dptnet": {"n_filters": 6, "width": 4, "hidden_size": 3, "n_heads": 2, "num_layers": 1},
    "sepformer": {"n_filters": 6, "path_layers": 1, "n_heads": 2, "hidden_size": 5},
}
SIZES = {"kernel_size": 4}
CHUNKED = ("dprnn", "dptnet", "sepformer")


def make(name: str, n_sources: int = 2, **sizes: object) -> nn.Module:
    """The separator of a piece, of small sizes and double precision, with weights that are not 0 or 1."""
    values = {"n_sources": n_sources, **SIZES, **SMALL[name], **sizes}
    if name in CHUNKED:
        values.setdefault("chunk_size", 6)
    words = [word for key, value in values.items() for word in (f"--{key}", str(value))]
    document = config.read(PIECES / f"{name}.yaml", words)
    separator = config.build(document, only=["separator"]).values["separator"].double().eval()
    for parameter in separator.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, mean=0.5, std=0.3)
    return separator


def padded(lengths: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    x = 0.3 * torch.randn(len(lengths), int(lengths.max()), dtype=dtype)
    for row, n in enumerate(lengths):
        x[row, n:] = torch.nan
    return x


MIRRORED = {"padding": "reflect", "encoder_padding": "reflect", "skip_width": "null"}


@pytest.mark.parametrize("n_sources", [1, 2, 3])
@pytest.mark.parametrize("name", [*SMALL, "conv_tasnet reflect"])
def test_padding_never_matters(name, n_sources):
    word, *mirrored = name.split()
    separator = make(word, n_sources, **(MIRRORED if mirrored else {}))
    lengths = torch.tensor([61, 40, 9, 4, 3, 1, 0])
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
        separator.to(dtype)
        x = padded(lengths, dtype)
        with torch.no_grad():
            batch = separator(x, lengths)
            assert batch.shape == (len(lengths), n_sources, 61)
            for row, n in enumerate(lengths):
                alone = separator(x[row : row + 1, :n], lengths[row : row + 1])[0]
                plain = separator(x[row : row + 1, :n])[0]
                assert (batch[row, :, :n] - alone).abs().sum() <= tolerance * alone.abs().sum()
                assert (batch[row, :, :n] - plain).abs().sum() <= tolerance * plain.abs().sum()
                assert (batch[row, :, n:] == 0).all()
                assert n < 40 or alone.abs().max() > 0


@pytest.mark.parametrize("name", SMALL)
def test_gradients_are_those_of_small_steps(name):
    separator, lengths = make(name), torch.tensor([25, 17])
    x = 0.3 * torch.randn(2, 25, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: separator(x, lengths), x.requires_grad_(), fast_mode=True)


@pytest.mark.parametrize("name", SMALL)
def test_gradients_reach_every_weight_and_no_padding(name):
    separator, lengths = make(name), torch.tensor([61, 34])
    x = (0.3 * torch.randn(2, 61, dtype=torch.float64)).requires_grad_()
    separator(x, lengths).pow(3).sum().backward()
    for key, parameter in separator.named_parameters():
        # A key's bias adds the same to all scores of a query.
        assert key.endswith("key.bias") or parameter.grad.abs().max() > 0, key
    assert x.grad[1, 34:].abs().max() == 0
    assert x.grad[1, :34].abs().max() > 0


@pytest.mark.parametrize("name", SMALL)
def test_gradients_are_finite_on_silence_and_on_identical_sources(name):
    """Through the net and the loss, in float32 and by bfloat16 products."""
    separator, lengths = make(name).float(), torch.tensor([61, 30])
    noise, silence = torch.randn(2, 1, 61), torch.zeros(2, 1, 61)
    identical, half, whole = (torch.cat(each, 1) for each in ([noise] * 2, [noise, silence], [silence] * 2))
    for sources in (identical, half, whole, 1e-9 * identical, torch.ones(2, 2, 61)):
        for is_short in (False, True):
            separator.zero_grad()
            x = sources.sum(1).requires_grad_()
            with torch.autocast("cpu", torch.bfloat16, enabled=is_short):
                estimates = separator(x, lengths)
            loss = separation_loss(estimates, sources, lengths)
            loss.sum().backward()
            assert loss.isfinite().all()
            assert x.grad.isfinite().all()
            assert all(parameter.grad.isfinite().all() for parameter in separator.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_autocast_is_near_float32(name):
    separator, lengths = make(name).float(), torch.tensor([61, 30])
    x = 0.3 * torch.randn(2, 61)
    expected = separator(x, lengths)
    with torch.autocast("cpu", torch.bfloat16):
        found = separator(x, lengths)
    assert (found.float() - expected).norm() < 0.1 * expected.norm()


@pytest.mark.parametrize("name", CHUNKED)
def test_dual_paths_walk_as_written_in_the_papers(name):
    """Each chunk, then each place of the chunks, one by one; then the chunks added up frame by frame."""
    masker = make(name).masker
    frames = torch.rand(1, 17, 6, dtype=torch.float64)
    half, width = masker.chunk_size // 2, masker.begin.out_features
    x = masker.begin(whitened(frames, masker.norm))[0]
    n_chunks = 2 * ((17 + half) // (2 * half) + 1)
    chunks = torch.zeros(n_chunks, 2 * half, width, dtype=torch.float64)
    places = [(p, k) for p in range(n_chunks) for k in range(2 * half) if 0 <= (p - 1) * half + k < 17]
    for p, k in places:
        chunks[p, k] = x[(p - 1) * half + k]
    for layer in masker.layers:
        along = torch.stack([layer.intra(chunk[None])[0] for chunk in chunks])
        chunks = chunks + whitened(along[None], layer.intra_norm)[0]
        across = torch.stack([layer.inter(chunks[None, :, k])[0] for k in range(2 * half)], 1)
        chunks = chunks + whitened(across[None], layer.inter_norm)[0]
    divided = masker.divide(masker.activation(chunks)).unflatten(2, (2, width))
    summed = torch.zeros(2, 17, width, dtype=torch.float64)
    for p, k in places:
        summed[:, (p - 1) * half + k] += divided[p, k]
    gated = torch.tanh(masker.output(summed)) * torch.sigmoid(masker.gate(summed))
    torch.testing.assert_close(masker(frames)[0], torch.relu(masker.end(gated)), rtol=1e-9, atol=1e-12)


def test_dptnet_walks_by_attention_and_a_recurrent_feed_forward_net():
    """Beside torch's own layers, joined as the paper's equations tell."""
    path = RecurrentTransformerPath(8, hidden_size=5, n_heads=2).double()
    block = path.blocks[0]
    attention = nn.MultiheadAttention(8, 2, batch_first=True).double()
    lstm = nn.LSTM(8, 5, bidirectional=True, batch_first=True).double()
    ours = block.attention
    with torch.no_grad():
        parts = [ours.query, ours.key, ours.value]
        attention.in_proj_weight.copy_(torch.cat([each.weight.parts[0] for each in parts]))
        attention.in_proj_bias.copy_(torch.cat([each.bias.normal_() for each in parts]))
        attention.out_proj.weight.copy_(ours.output.weight.parts[0])
        attention.out_proj.bias.copy_(ours.output.bias)
        for direction, suffix in enumerate(("", "_reverse")):
            for name, value in block.lstm.layers[0][direction].named_parameters():
                getattr(lstm, name + suffix).copy_(value)
    x = torch.randn(3, 7, 8, dtype=torch.float64)
    middle = nn.functional.layer_norm(x + attention(x, x, x)[0], (8,))
    expected = nn.functional.layer_norm(middle + block.linear(torch.relu(lstm(middle)[0])), (8,))
    torch.testing.assert_close(path(x), expected)


def whitened(x: Tensor, norm: nn.Module) -> Tensor:
    return (x - x.mean()) / (x.var(correction=0) + 1e-8).sqrt() * norm.weight + norm.bias


def test_a_filterbank_is_products_with_filters_frame_by_frame():
    encoder, decoder = FilterbankEncoder(5, 4, 3).double(), FilterbankDecoder(5, 4, 3).double()
    x = torch.randn(2, 18, dtype=torch.float64)
    frames, lengths = encoder(x, torch.tensor([18, 11]))
    assert lengths.tolist() == [5, 3]
    decoded = torch.zeros(2, 18, dtype=torch.float64)
    for row, n in enumerate(lengths):
        for t in range(n):
            expected = torch.relu(encoder.conv.weight[:, 0] @ x[row, 3 * t : 3 * t + 4])
            torch.testing.assert_close(frames[row, t], expected)
            decoded[row, 3 * t : 3 * t + 4] += expected @ decoder.conv.weight[:, 0]
    assert not frames[1, 3:].any()
    torch.testing.assert_close(decoder(frames[:, None], 18)[:, 0], decoded)
    torch.testing.assert_close(decoder(frames[:, None], 10)[:, 0], decoded[:, :10])


def test_a_causal_conv_tasnet_never_looks_ahead():
    from speechkit.nnet import LayerNorm

    sizes = {"width": 4, "hidden_size": 5, "n_blocks": 3, "n_repeats": 1}
    masker = TemporalConvNet(6, 2, **sizes, padding="causal", norm=LayerNorm).double()
    frames = torch.rand(1, 20, 6, dtype=torch.float64)
    changed = frames.clone()
    changed[:, 12:] = 0
    torch.testing.assert_close(masker(frames)[:, :, :12], masker(changed)[:, :, :12])
    assert (masker(frames)[:, :, 12:] != masker(changed)[:, :, 12:]).any()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FilterbankEncoder(8, 4, 5), "stride 5"),
        (lambda: FilterbankDecoder(0), "n_filters"),
        (lambda: DualPath(8, 2, 4, 5, 1, RecurrentPath, RecurrentPath), "chunk_size 5"),
        (lambda: DualPath(8, 0, 4, 4, 1, RecurrentPath, RecurrentPath), "n_sources"),
        (lambda: TemporalConvNet(8, 2, padding="both"), "padding 'both'"),
        (lambda: TemporalConvNet(8, 2, padding="reflect", kernel_size=4), "kernel of 4 frames"),
        (lambda: FilterbankEncoder(8, padding="same"), "padding 'same'"),
    ],
)
def test_mistakes_are_told(build, message):
    with pytest.raises(UserError, match=message):
        build()


def test_the_parts_are_swapped_by_passing_them():
    masker = TemporalConvNet(6, 3, width=4, hidden_size=5, skip_width=None, n_blocks=2, n_repeats=1)
    separator = MaskingSeparator(FilterbankEncoder(6, 4), masker, FilterbankDecoder(6, 4))
    assert separator(torch.zeros(2, 0)).shape == (2, 3, 0)
    assert not separator(torch.zeros(2, 33)).any()
