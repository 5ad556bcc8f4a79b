"""Decoders and language models over every algebra: padding, single steps, beams, the past alone."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.models import (
    ContentAttention,
    LocationAttention,
    MeanContext,
    MultiheadContext,
    RecurrentDecoder,
    RecurrentLM,
    TransformerDecoder,
    TransformerLM,
)
from speechkit.nnet import keep_matrices
from speechkit.nnet.hyper_weight import HyperWeight
from speechkit.ops.search_state import select_beams, select_utterances, start_beams

# B utterances, K beams of each, T frames, U tokens, V tokens there are
N_TOKENS, WIDTH = 7, 12
OF_BLOCKS = {"width": 16, "num_layers": 2, "n_heads": 2, "hidden_size": 24}
ATTENDING = {
    "transformer": partial(TransformerDecoder, **OF_BLOCKS),
    "transformer rotary": partial(TransformerDecoder, **OF_BLOCKS, positions="rotary", algebra="complex"),
    "transformer relative": partial(
        TransformerDecoder, **OF_BLOCKS, positions="relative", algebra="quaternion"
    ),
    "content": partial(RecurrentDecoder, context=partial(ContentAttention, 8), hidden_size=16, num_layers=2),
    "location": partial(
        RecurrentDecoder,
        context=partial(LocationAttention, 8, 2, kernel_size=4),
        hidden_size=8,
        recurrent="gru",
        algebra="quaternion",
    ),
    "heads": partial(
        RecurrentDecoder, context=partial(MultiheadContext, 2), hidden_size=8, algebra="complex"
    ),
    "naive": partial(RecurrentDecoder, context=MeanContext, hidden_size=8, recurrent="rnn"),
}
SPEAKING = {
    "transformer lm": partial(TransformerLM, **OF_BLOCKS, positions="rotary"),
    "transformer lm quaternion": partial(TransformerLM, **OF_BLOCKS, algebra="quaternion"),
    "recurrent lm": partial(RecurrentLM, width=8, hidden_size=12),
    "recurrent lm complex": partial(RecurrentLM, width=8, hidden_size=12, algebra="complex", recurrent="gru"),
}
TOKENS, TOKEN_LENGTHS = torch.tensor([[3, 1, 6, 2], [5, -1, 99, 0], [2, 2, 4, 0]]), torch.tensor([4, 1, 3])
LENGTHS = torch.tensor([3, 9, 5])


def make(name: str) -> nn.Module:
    torch.manual_seed(3)
    model = ATTENDING[name](N_TOKENS, input_size=WIDTH) if name in ATTENDING else SPEAKING[name](N_TOKENS)
    with torch.no_grad():
        for parameter in model.parameters():  # biases that are not 0
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.double().eval()


def frames() -> Tensor:
    encoded = torch.randn(3, 9, WIDTH, dtype=torch.float64)
    for row, n in enumerate(LENGTHS):
        encoded[row, n:] = 1e3  # what stands in the padding is arbitrary
    return encoded


def heard(name: str, encoded: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
    return (encoded, lengths) if name in ATTENDING else ()


def start(name: str, model: nn.Module, encoded: Tensor, lengths: Tensor):
    return model.start(encoded, lengths) if name in ATTENDING else model.start(len(encoded))


@pytest.mark.parametrize("name", [*ATTENDING, *SPEAKING])
@torch.no_grad()
def test_padding_never_matters(name):
    model, encoded = make(name), frames()
    batch = model(TOKENS, TOKEN_LENGTHS, *heard(name, encoded, LENGTHS))
    for row, (u, t) in enumerate(zip(TOKEN_LENGTHS, LENGTHS, strict=True)):
        one = slice(row, row + 1)
        alone = model(TOKENS[one, :u], TOKEN_LENGTHS[one], *heard(name, encoded[one, :t], LENGTHS[one]))[0]
        assert (batch[row, : u + 1] - alone).abs().max() <= 1e-9 * alone.abs().max()


@pytest.mark.parametrize("name", [*ATTENDING, *SPEAKING])
@torch.no_grad()
def test_single_steps_of_beams_equal_teacher_forcing(name):
    """Of three beams an utterance, each with a text of its own."""
    model, encoded = make(name), frames()
    texts = torch.tensor([[3, 1, 6, 2], [2, 6, 1, 3], [4, 4, 1, 5]])
    lengths = torch.tensor([4, 4, 4])
    expected = torch.stack(
        [model(texts[[k] * 3], lengths, *heard(name, encoded, LENGTHS)).log_softmax(-1) for k in range(3)], 1
    )  # (B, K, U + 1, V)
    state = start_beams(start(name, model, encoded, LENGTHS), 3)
    taken = torch.zeros(9, dtype=torch.long)
    for position in range(5):
        before = state
        log_probs, state = model.step(taken, before)
        torch.testing.assert_close(log_probs.view(3, 3, -1), expected[:, :, position], rtol=1e-9, atol=1e-9)
        again, _ = model.step(taken, before)  # a step leaves its state as it was
        assert torch.equal(again, log_probs)
        if position < 4:
            taken = texts[:, position].repeat(3)


@pytest.mark.parametrize("name", [*ATTENDING, *SPEAKING])
@torch.no_grad()
def test_beams_move_and_utterances_leave(name):
    model, encoded = make(name), frames()
    state = start_beams(start(name, model, encoded, LENGTHS), 2)
    first = torch.tensor([1, 2, 3, 4, 5, 6])
    _, state = model.step(first, state)
    moved = select_beams(state, torch.tensor([1, 1, 3, 2, 4, 5]))
    moved = select_utterances(moved, torch.tensor([1, 2]), torch.tensor([2, 3, 4, 5]))
    got, _ = model.step(torch.tensor([5, 6, 1, 2]), moved)
    for row, (utterance, before, token) in enumerate([(1, 4, 5), (1, 3, 6), (2, 5, 1), (2, 6, 2)]):
        one, text = slice(utterance, utterance + 1), torch.tensor([[before, token]])
        # the state began with `before` where a boundary belongs, so its own start does too
        alone = start(name, model, encoded[one], LENGTHS[one])
        for each in text[0]:
            expected, alone = model.step(each.view(1), alone)
        torch.testing.assert_close(got[row], expected[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["transformer relative", "location", "recurrent lm complex"])
def test_matrices_are_kept_for_a_search_and_no_longer(name):
    model, encoded = make(name), frames()
    weights = [each for each in model.modules() if isinstance(each, HyperWeight)]

    def search() -> Tensor:
        log_probs, state = model.step(torch.zeros(3, dtype=torch.long), start(name, model, encoded, LENGTHS))
        return model.step(log_probs.argmax(-1), state)[0]

    with torch.no_grad():
        expected = search()
        with keep_matrices():
            assert torch.equal(search(), expected)
            assert all(each.matrix() is each.matrix() for each in weights)
            with torch.enable_grad():  # a matrix with a history would be of no use to another backward pass
                assert search().requires_grad
        for each in weights:
            each.parts.mul_(1.5)
        with keep_matrices():
            assert not torch.allclose(search(), expected)


@pytest.mark.parametrize("name", [*ATTENDING, *SPEAKING])
def test_a_token_changes_what_comes_after_it_alone(name):
    model, encoded = make(name), frames()
    changed, lengths = TOKENS.clamp(0, 6), torch.tensor([4, 4, 4])
    logits = model(changed, lengths, *heard(name, encoded, LENGTHS))
    changed = changed.clone()
    changed[:, 2] = (changed[:, 2] + 1) % N_TOKENS
    difference = (model(changed, lengths, *heard(name, encoded, LENGTHS)) - logits).abs().amax((0, 2))
    assert difference[:3].max() == 0
    assert difference[3:].min() > 0


@pytest.mark.parametrize("name", [*ATTENDING, *SPEAKING])
def test_gradients_reach_every_weight(name):
    model = make(name).train()
    encoded = frames().clamp(-3, 3).requires_grad_()
    logits = model(TOKENS, TOKEN_LENGTHS, *heard(name, encoded, LENGTHS))
    logits.log_softmax(-1).square().sum().backward()
    for key, parameter in model.named_parameters():
        # A key's bias adds the same to all scores of a query.
        if not key.endswith("key.bias"):
            assert parameter.grad is not None, key
            assert parameter.grad.abs().max() > 0, key
    if name in ATTENDING:
        assert encoded.grad[0, 3:].abs().max() == 0
        assert encoded.grad[0, :3].abs().min() > 0


@pytest.mark.parametrize("name", [*ATTENDING, *SPEAKING])
@torch.no_grad()
def test_bfloat16_autocast_is_near_float32(name):
    model, encoded = make(name).float(), frames().float().clamp(-3, 3)
    heard_frames = heard(name, encoded, LENGTHS)
    expected = model(TOKENS, TOKEN_LENGTHS, *heard_frames)
    with torch.autocast("cpu", torch.bfloat16):
        got = model(TOKENS, TOKEN_LENGTHS, *heard_frames)
        state = start(name, model, encoded, LENGTHS)
        for token in (torch.zeros(3, dtype=torch.long), TOKENS[:, 0]):
            log_probs, state = model.step(token, state)
    assert (got.float() - expected).norm() < 0.05 * expected.norm()
    assert log_probs.dtype == torch.float32  # so that a search adds them up without loss
    assert (log_probs - expected[:, 1].log_softmax(-1)).abs().max() < 0.1


@pytest.mark.parametrize("name", ATTENDING)
@torch.no_grad()
def test_alignments_are_weights_of_true_frames(name):
    weights = make(name).align(TOKENS, TOKEN_LENGTHS, frames(), LENGTHS)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 5, dtype=torch.float64))
    for row, n in enumerate(LENGTHS):
        assert weights[row, :, n:].abs().max() == 0 if n < 9 else True
        assert weights[row, :, :n].min() > 0


@torch.no_grad()
def test_a_transformers_alignment_is_what_its_last_block_weighs_by(monkeypatch):
    model = make("transformer")
    cross, seen = model.tokens.blocks[-1].cross, []
    attend = type(cross).attend
    monkeypatch.setattr(
        cross, "attend", lambda x, **others: seen.append((x, others)) or attend(cross, x, **others)
    )
    encoded = frames()
    model(TOKENS, TOKEN_LENGTHS, encoded, LENGTHS)
    (x, others), n_heads = seen[0], OF_BLOCKS["n_heads"]
    queries, keys = cross.query(x).chunk(n_heads, -1), others["memory"].keys
    scores = torch.stack(
        [query @ keys[:, h].mT / query.shape[-1] ** 0.5 for h, query in enumerate(queries)], 1
    )
    weights = scores.masked_fill(~others["mask"], float("-inf")).softmax(-1)
    attended = torch.cat([weights[:, h] @ others["memory"].values[:, h] for h in range(n_heads)], -1)
    torch.testing.assert_close(cross.output(attended), attend(cross, x, **others))
    torch.testing.assert_close(model.align(TOKENS, TOKEN_LENGTHS, encoded, LENGTHS), weights.mean(1))


def test_location_attention_equals_a_loop():
    part = LocationAttention(4, 2, kernel_size=3, query_width=6, memory_width=8).double()
    encoded, query = torch.randn(1, 5, 8).double(), torch.randn(1, 1, 6).double()
    before = torch.rand(1, 5).double()
    context, weights, after = part(query, part.prepare(encoded, None), before)
    scores = []
    for t in range(5):
        window = [before[0, t + k] if 0 <= t + k < 5 else 0.0 for k in (-1, 0, 1)]
        filtered = [sum(w * x for w, x in zip(f[0], window, strict=True)) for f in part.filters.weight]
        hidden = (
            part.query.weight.parts[0] @ query[0, 0]
            + part.key.weight.parts[0] @ encoded[0, t]
            + part.key.bias
        )
        hidden = hidden + part.location.weight @ torch.stack(filtered)
        scores.append(part.score.weight[0] @ hidden.tanh())
    expected = torch.stack(scores).softmax(0)
    torch.testing.assert_close(weights[0, 0], expected)
    torch.testing.assert_close(after[0], expected)
    torch.testing.assert_close(context[0, 0], expected @ encoded[0])


def test_content_attention_is_of_the_inner_product():
    part = ContentAttention(4, query_width=6, memory_width=8).double()
    encoded, query = torch.randn(2, 5, 8).double(), torch.randn(2, 3, 6).double()
    lengths = torch.tensor([5, 2])
    context, _, _ = part(query, part.prepare(encoded, lengths), None)
    for row, n in enumerate(lengths):
        for beam in range(3):
            scores = torch.stack(
                [part.query(query[row, beam]) @ part.key(encoded[row, t]) / 2 for t in range(n)]
            )
            expected = scores.softmax(0) @ encoded[row, :n]
            torch.testing.assert_close(context[row, beam], expected)


def test_the_naive_decoder_hears_the_mean_alone():
    model, encoded = make("naive"), frames()
    shuffled = encoded.clone()
    shuffled[1] = encoded[1].flip(0)
    tokens = TOKENS.clamp(0, 6)
    logits, other = (model(tokens, TOKEN_LENGTHS, x, LENGTHS) for x in (encoded, shuffled))
    torch.testing.assert_close(logits[1], other[1])
    attending = make("location")
    logits, other = (attending(tokens, TOKEN_LENGTHS, x, LENGTHS) for x in (encoded, shuffled))
    assert (logits[1] - other[1]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TransformerDecoder(5, input_size=8, width=18, algebra="quaternion"), "width of 18"),
        (
            lambda: TransformerDecoder(5, input_size=6, width=16, algebra="quaternion"),
            "input_size.*width of 6",
        ),
        (lambda: TransformerLM(5, positions="rotating"), "positions is 'rotating'"),
        (lambda: TransformerLM(5, width=16, n_heads=3), "16 numbers in 3 heads"),
        (lambda: RecurrentLM(5, recurrent="ligru"), "recurrent is 'ligru'.*did you mean"),
        (lambda: RecurrentDecoder(5), "without input_shape"),
    ],
)
def test_mistakes_are_told(build, message):
    with pytest.raises(UserError, match=message):
        build()
