"""Windows put together: against closed forms, an explicit loop, and the signal that they were cut from."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from speechkit.ops.stitching import cross_fade, cut_windows, find_order, fit_to_mixture, join_windows


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def blocks_of(x: torch.Tensor, sizes: list[int]) -> list[torch.Tensor]:
    return [part for part in x.tensor_split(list(itertools.accumulate(sizes))) if len(part)]


@settings(max_examples=80)
@given(
    n_total=st.integers(1, 400),
    n_steps=st.tuples(st.integers(1, 8), st.integers(0, 20)),
    n_step=st.integers(1, 7),
    sizes=st.lists(st.integers(1, 90), max_size=8),
)
def test_windows_hold_all_of_a_signal_and_share_what_they_should(
    n_total: int, n_steps: tuple[int, int], n_step: int, sizes: list[int]
) -> None:
    n_hop = n_steps[0] * n_step
    n_window = n_hop + n_steps[1]
    x = torch.arange(n_total, dtype=torch.float32)
    windows = list(cut_windows(blocks_of(x, sizes), n_window, n_hop, n_step))
    for at, wave in windows:
        assert wave.tolist() == x[at : at + len(wave)].tolist()
        assert at % n_step == 0
    assert windows[0][0] == 0
    assert windows[-1][0] + len(windows[-1][1]) == n_total
    assert all(len(wave) == n_window for _, wave in windows[:-1])
    assert len(windows) == 1 or n_window - n_step < len(windows[-1][1]) <= n_window
    starts = [at for at, _ in windows]
    assert starts[:-1] == [number * n_hop for number in range(len(windows) - 1)]
    assert all(0 < after - before <= n_hop for before, after in itertools.pairwise(starts))


def test_windows_that_would_share_a_pause_share_more() -> None:
    """As much as holds a hundredth of the energy, or half of the window."""
    x = torch.ones(1000)
    x[95:140] = 1e-3
    starts = [at for at, _ in cut_windows([x], 100, 80, 4)]
    assert starts[:2] == [0, 80]  # 80 to 95 is loud
    x[60:140] = 1e-3
    starts = [at for at, _ in cut_windows([x], 100, 80, 4)]
    assert starts[:3] == [0, 56, 136]  # 56 to 60 is loud, and so is 136 + 20 to 156
    x[20:600] = 0
    starts = [at for at, _ in cut_windows([x], 100, 80, 4)]
    assert starts[:3] == [0, 52, 132]  # half of the window and no more; then all is silence, and any will do
    assert [at for at, _ in cut_windows([x], 100, 100, 4)][:3] == [0, 100, 200]


@settings(max_examples=60)
@given(
    n_total=st.integers(1, 3000),
    n_sources=st.integers(1, 5),
    plan=st.tuples(st.integers(60, 400), st.integers(20, 90)),
    n_step=st.sampled_from([1, 8]),
    seed=st.integers(0, 99),
)
def test_sources_that_come_in_any_order_stay_what_they_were(
    n_total: int, n_sources: int, plan: tuple[int, int], n_step: int, seed: int
) -> None:
    """True sources, in another order in each window: the same signals, in the order of the first."""
    n_window, percent = plan
    n_hop = max(n_step, n_window * percent // 100 // n_step * n_step)
    sources, random = noise(n_sources, n_total, seed=seed), np.random.default_rng(seed)
    places = torch.arange(n_total, dtype=torch.float32)
    orders = []

    def estimates():
        for at, wave in cut_windows(blocks_of(places, [70, 300, 1, 900]), n_window, n_hop, n_step):
            orders.append(random.permutation(n_sources))
            yield at, sources[:, at : at + len(wave)][orders[-1]]

    stretches = list(join_windows(estimates(), (n_window - n_hop) // 2))
    whole = torch.cat(stretches, 1)
    torch.testing.assert_close(whole, sources[orders[0]], rtol=0, atol=1e-5)
    assert len(stretches) == len(orders)


def test_what_is_near_an_edge_is_not_used() -> None:
    """Of windows that are wrong in the outer quarter of what they share nothing of it is left."""
    x = noise(1, 1000)

    def estimates():
        for at, wave in cut_windows([torch.zeros(1000)], 200, 120, 1):
            y = x[:, at : at + len(wave)].clone()
            y[:, : 20 if at else 0] = 9
            if at + len(wave) < 1000:
                y[:, -20:] = -9
            yield at, y

    torch.testing.assert_close(torch.cat(list(join_windows(estimates(), 40)), 1), x)


def test_fading_weights_add_up_and_rise() -> None:
    rising = cross_fade(torch.zeros(2, 101), torch.ones(2, 101))
    torch.testing.assert_close(
        rising + cross_fade(torch.ones(2, 101), torch.zeros(2, 101)), torch.ones(2, 101)
    )
    assert (rising.diff() > 0).all()
    assert rising[0, 50] == pytest.approx(0.5)
    assert cross_fade(torch.zeros(2, 0), torch.ones(2, 0)).shape == (2, 0)


@pytest.mark.parametrize("n_sources", [1, 2, 3, 4])
def test_the_order_is_that_of_the_least_difference_of_all(n_sources: int) -> None:
    for seed in range(10):
        former = noise(n_sources, 300, seed=seed) * torch.tensor([1.0, 0.5, 0.2, 0.1])[:n_sources, None]
        new = former[torch.randperm(n_sources)] + 0.03 * noise(n_sources, 300, seed=seed + 50)
        differences = {
            order: (former - new[list(order)]).square().sum()
            for order in itertools.permutations(range(n_sources))
        }
        found = find_order(former, new, list(range(n_sources)))
        assert tuple(found) == min(differences, key=differences.__getitem__)


def test_where_nothing_tells_the_last_order_is_kept() -> None:
    x = noise(3, 500)
    for former, new in (
        (x, 0 * x),
        (0 * x, x),
        (0 * x, 0 * x),
        (x[:1].expand(3, -1), x[:1].expand(3, -1)),
        (x, noise(3, 500, seed=1)),  # nothing in common
        (x[:, :0], x[:, :0]),
    ):
        assert find_order(former, new, [2, 0, 1]) == [2, 0, 1]


def test_a_silent_source_takes_what_the_others_leave() -> None:
    x = noise(2, 500) * torch.tensor([[1.0], [1e-4]])
    assert find_order(x, x.flip(0), [0, 1]) == [1, 0]
    assert find_order(x, x, [1, 0]) == [0, 1]


def true_sources(*levels: float, n_samples: int = 4000) -> torch.Tensor:
    return noise(len(levels), n_samples, seed=3) * torch.tensor(levels)[:, None]


@pytest.mark.parametrize(
    ("levels", "scales", "tolerance"),
    [
        ((1.0,), (0.1,), 1e-6),
        ((1.0, 1.0), (2.0, 0.5), 0.01),
        ((1.0, 0.3), (-1.0, -1.0), 1e-3),  # scale-invariant losses know no polarity
        ((1.0, 1.0), (1.0, -0.5), 1e-3),
        ((1.0, 0.5, 0.3), (3.0, 2.0, 1.0), 0.01),
    ],
)
def test_true_sources_of_any_scale_get_their_own_back(
    levels: tuple[float, ...], scales: tuple[float, ...], tolerance: float
) -> None:
    sources = true_sources(*levels)
    found = fit_to_mixture(torch.tensor(scales)[:, None] * sources, sources.sum(0))
    for estimate, source in zip(found, sources, strict=True):
        assert (estimate - source).norm() <= tolerance * source.norm()


def test_factors_are_the_least_of_what_the_page_says() -> None:
    """Noisy, leaky estimates, against a numerical search."""
    sources = true_sources(1.0, 0.7).double()
    estimates = torch.tensor([[1.0, 0.2], [0.1, 0.5]]).double() @ sources + 0.3 * noise(2, 4000, seed=5)
    x, y = sources.sum(0).numpy(), estimates.numpy()
    g = x @ y.sum(0) / (y.sum(0) @ y.sum(0))

    def cost(factors: np.ndarray) -> float:
        return np.square(x - factors @ y).sum() + 1e-4 * np.square(x).sum() * np.square(factors / g - 1).sum()

    best = minimize(cost, np.full(2, g), tol=1e-10).x
    found = fit_to_mixture(estimates, sources.sum(0))
    np.testing.assert_allclose((found / estimates).mean(1), best, rtol=1e-4)


def test_estimates_that_are_not_separated_share_the_mixture() -> None:
    x = noise(1000)
    half = fit_to_mixture(torch.stack([7 * x, 7 * x]), x)
    torch.testing.assert_close(half, torch.stack([x, x]) / 2)
    # The second holds more of the first source than of its own: plain least squares would turn it over.
    sources = true_sources(1.0, 1.0)
    mixed = torch.tensor([[0.9, 0.2], [0.7, 0.3]]) @ sources
    found = fit_to_mixture(mixed, sources.sum(0))
    ratios = found / mixed
    torch.testing.assert_close(ratios, ratios[:1, :1].expand_as(ratios))
    assert ratios[0, 0] > 0


def test_the_faint_rest_of_one_speaker_stays_faint() -> None:
    x = noise(4000)
    estimates = torch.stack([2 * x, 1e-3 * noise(4000, seed=1)])
    found = fit_to_mixture(estimates, x)
    torch.testing.assert_close(found[0], x, rtol=0, atol=5e-3)
    assert 0 < found[1].norm() / x.norm() < 1e-3


def test_silence_stays_silence() -> None:
    x = noise(100)
    for estimates, mixture in ((torch.zeros(2, 100), x), (noise(2, 100), 0 * x), (torch.zeros(2, 0), x[:0])):
        assert torch.equal(fit_to_mixture(estimates, mixture), torch.zeros_like(estimates))
    found = fit_to_mixture(torch.stack([x, 0 * x]), x)
    torch.testing.assert_close(found, torch.stack([x, 0 * x]))


def test_estimates_are_not_changed_and_any_level_is_as_good() -> None:
    sources = true_sources(1.0, 0.5)
    estimates = sources + 0.1 * noise(2, 4000)
    before = estimates.clone()
    found = fit_to_mixture(estimates, sources.sum(0))
    assert torch.equal(estimates, before)
    for level in (1e-12, 1e12):
        torch.testing.assert_close(fit_to_mixture(level * estimates, sources.sum(0)), found)
        torch.testing.assert_close(fit_to_mixture(estimates, level * sources.sum(0)) / level, found)
