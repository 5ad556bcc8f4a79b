"""Learned filters in the report: the same kernels as the layer's, modulation found by Fourier's transform."""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from speechkit.errors import UserError
from speechkit.nnet import STRFConv2d
from speechkit.report import read_run, summarize, write_json, write_report
from speechkit.report.filters import N_DRAWN, find_hop, find_layers, list_groups
from speechkit.report.png import draw_signed
from speechkit.report.strf import NUMBERS, find_modulations, make_kernels, measure_moves, read_numbers


def make_layer(n_kernels: int = 5, *, moved: float = 0.1, **arguments) -> STRFConv2d:
    torch.manual_seed(1)
    layer = STRFConv2d(n_kernels, **{"kernel_size": (9, 25), **arguments})
    with torch.no_grad():
        for number in layer.parameters():
            number.mul_(1 + moved * torch.rand(n_kernels))
    return layer


def write_filters(
    folder: Path, *layers: STRFConv2d, name: str = "model.strf", hop: float | None = 0.01
) -> Path:
    """Into a run folder, with what `model.json` tells of frames."""
    described = [{"name": name, **layer.describe_filters()} for layer in layers]
    write_json(folder / "filters.json", {"schema": 1, "layers": described}, "filters")
    model = json.loads((folder / "model.json").read_text())
    model["modules"][1] |= {"hop_seconds": hop} if hop else {}
    model["modules"].append({**model["modules"][2], "name": name, "input_shape": [2, 101, 40]})
    write_json(folder / "model.json", model, "model")
    return folder


@pytest.mark.parametrize("kernel_size", [(4, 8), (9, 25), (1, 6)])
@pytest.mark.parametrize("carrier", ["cos", "sin", "both"])
def test_kernels_are_those_of_the_layer(kernel_size, carrier) -> None:
    layer = make_layer(kernel_size=kernel_size, carrier=carrier).double()
    numbers = read_numbers(layer.describe_filters()["end"])
    expected = layer.kernels().detach().unflatten(0, (-1, 5)).transpose(0, 1).numpy()
    np.testing.assert_allclose(make_kernels(numbers, kernel_size, carrier), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kernel_size", [(40, 60), (41, 61)])
def test_modulation_is_where_the_kernels_transform_has_its_peak(kernel_size) -> None:
    """Odd sizes too, whose grid is a little wider than their taps."""
    turns = np.linspace(-np.pi, np.pi, 7)[:-1]
    numbers = np.stack([turns + 0.2, np.full(6, 0.9), np.full(6, 9.0), np.full(6, 9.0)])
    temporal, spectral = find_modulations(numbers, kernel_size)
    for kernel, t, f in zip(make_kernels(numbers, kernel_size, "cos")[:, 0], temporal, spectral, strict=True):
        power = np.abs(np.fft.fft2(kernel, (1000, 1000)))
        band, frame = np.unravel_index(power.argmax(), power.shape)
        peak = np.array([np.fft.fftfreq(1000)[frame], np.fft.fftfreq(1000)[band]])
        assert min(np.abs(peak - [t, f]).max(), np.abs(peak + [t, f]).max()) < 2e-3


def test_moves_in_closed_form() -> None:
    start = np.array([[0.3], [0.8], [3.0], [5.0]]).repeat(5, 1)
    end = start.copy()
    end[0, 1] += 2 * np.pi  # a full turn: the same kernel
    end[0, 2] += np.pi  # a half turn: the same cosine
    end[1:, 3] *= 2
    end[2, 4] *= -0.5
    moves = measure_moves(start, end, (8, 20), "cos")
    np.testing.assert_allclose(moves.moved, [0, 0, 0.5, np.sqrt(0.75), 0.75], atol=1e-12)
    np.testing.assert_allclose(moves.correlation[:3], 1)
    np.testing.assert_allclose(np.abs(moves.turned), [0, 0, 180, 0, 0], atol=1e-9)
    assert measure_moves(start, end, (8, 20), "sin").correlation[2] == pytest.approx(-1)
    kernels = [make_kernels(each, (8, 20), "cos")[3].ravel() for each in (start, end)]
    assert moves.correlation[3] < 0.9
    own = kernels[0] @ kernels[1] / np.linalg.norm(kernels[0]) / np.linalg.norm(kernels[1])
    assert moves.correlation[3] == pytest.approx(own)


def test_hop_is_that_of_the_features_whose_frames_a_layer_gets() -> None:
    features = {"name": "features", "output_shape": [1, 101, 40], "hop_seconds": 0.0125}
    same = {"name": "same", "input_shape": [1, 101, 40], "output_shape": [1, 50, 40]}
    fewer = {"name": "fewer", "input_shape": [1, 50, 40], "output_shape": [1, 50, 40]}
    model = {"modules": [features, same, fewer, {"name": "unused", "output_shape": None}]}
    found = [find_hop(model, name) for name in ("same", "fewer", "unused", "absent")]
    assert found == [0.0125, None, None, None]
    assert find_hop(None, "same") is None


@pytest.mark.parametrize("hop", [0.01, None])
def test_filters_are_in_order_and_none_is_lost(run_folder: Path, hop) -> None:
    layer = make_layer(200)
    (found,) = find_layers(read_run(write_filters(run_folder, layer, hop=hop)))
    groups = list_groups(found)
    assert found.unit == ("Hz" if hop else "cycles/frame")
    filters = [each for group in groups for each in group["filters"]]
    assert sorted(each["number"] for each in filters) == list(range(200))
    assert 90 <= sum(bool(each["pictures"]) for each in filters) <= N_DRAWN
    below = 0.0
    for group in groups:
        temporal = [abs(each["temporal"]) for each in group["filters"]]
        spectral = [abs(each["spectral"]) for each in group["filters"]]
        assert spectral == sorted(spectral)
        assert min(temporal) >= below
        below = max(temporal)
    if hop:
        assert groups[0]["title"] == "below 1 Hz"
        for group in groups[1:]:
            low, high = map(float, re.findall(r"\d+", group["title"]))
            assert all(low <= abs(each["temporal"]) < high == 2 * low for each in group["filters"])


def test_pictures_show_the_signs() -> None:
    """Lightness alone tells a value from a smaller one; the first band is at the bottom."""
    values = np.random.default_rng(0).normal(size=(3, 7))
    picture = Image.open(io.BytesIO(base64.b64decode(draw_signed(values).split(",")[1])))
    light = np.asarray(picture.convert("L"), dtype=float)[::-1]
    order = values.ravel().argsort()
    assert (np.diff(light.ravel()[order]) >= 0).all()
    assert light.ravel()[order[-1]] - light.ravel()[order[0]] > 150
    zeros = Image.open(io.BytesIO(base64.b64decode(draw_signed(np.zeros((2, 2))).split(",")[1])))
    assert len(np.unique(np.asarray(zeros.convert("L")))) == 1


def test_the_page_tells_learned_filters_from_frozen_ones(run_folder: Path) -> None:
    learned = write_report(write_filters(run_folder, make_layer())).read_text()
    assert learned.count('<img src="data:image/png') == 10
    assert "5, learned" in learned
    assert "temporal modulation (Hz)" in learned
    frozen = make_layer(moved=0, trainable=False)
    page = write_report(write_filters(run_folder, frozen)).read_text()
    assert page.count('<img src="data:image/png') == 5
    assert "5, frozen at their start" in page
    assert "0.0% (median), 0.0% (largest)" in page
    assert "5 frozen at their start" in summarize(run_folder)


def test_figures_are_in_the_report_and_in_the_text(run_folder: Path) -> None:
    layer = make_layer(moved=0)
    with torch.no_grad():
        layer.width_f.mul_(1.2)
    write_report(write_filters(run_folder, layer))
    (figures,) = json.loads((run_folder / "report.json").read_text())["filters"]
    assert figures["moved_percent"]["median"] == pytest.approx(10, rel=1e-3)  # 20% of one number in four
    assert (figures["n"], figures["trainable"], figures["name"]) == (5, True, "model.strf")
    assert 0.5 < figures["correlation"]["smallest"] < figures["correlation"]["median"] < 1
    assert "model.strf: 5, moved 10.0%, correlation" in summarize(run_folder)


def test_without_filters_nothing_is_said(run_folder: Path) -> None:
    assert "Spectro-temporal filters" not in write_report(run_folder).read_text()
    assert "filters" not in json.loads((run_folder / "report.json").read_text())


def test_what_is_not_finite_is_shown_as_such(run_folder: Path) -> None:
    write_filters(run_folder, make_layer())
    content = json.loads((run_folder / "filters.json").read_text())
    content["layers"][0]["end"]["modulation"][1] = None
    (run_folder / "filters.json").write_text(json.dumps(content))
    page = write_report(run_folder).read_text()
    assert page.count('class="to"') == 1 + 4  # one in the legend
    assert page.count('<img src="data:image/png') == 9


def test_names_of_layers_stay_text(run_folder: Path) -> None:
    page = write_report(
        write_filters(run_folder, make_layer(), name="<script>1</script>{{ 7*7 }}")
    ).read_text()
    assert "<script>" not in page
    assert "{{ 7*7 }}" in page


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda layer: layer["end"]["width_t"].pop(), r"filters\.json:1:1 layers\[0\]: \[4, 5\] numbers"),
        (lambda layer: layer["kernel_size"].update(bands=0), r"numbers of kernels of \{'bands': 0"),
        (lambda layer: layer.update(carrier="tan"), r"layers\[0\]\.carrier: 'tan'"),
        (lambda layer: layer.update(kind="sinc"), r"layers\[0\]\.kind: 'sinc'"),
        (lambda layer: layer["start"].pop("direction"), r"layers\[0\]\.start\.direction: nothing"),
    ],
)
def test_a_damaged_file_is_told(run_folder: Path, change, words) -> None:
    write_filters(run_folder, make_layer())
    content = json.loads((run_folder / "filters.json").read_text())
    change(content["layers"][0])
    (run_folder / "filters.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=words):
        read_run(run_folder)


def test_numbers_are_those_of_the_layer() -> None:
    described = make_layer().describe_filters()
    assert tuple(described["start"]) == tuple(described["end"]) == NUMBERS
