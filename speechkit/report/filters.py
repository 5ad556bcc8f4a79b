"""What a report shows of learned filters: what they answer to, and how far training has moved them."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechkit.report.charts import Scatter, draw_scatter
from speechkit.report.png import draw_signed
from speechkit.report.run import Run
from speechkit.report.strf import Moves, find_modulations, make_kernels, measure_moves, read_numbers

N_DRAWN = 128  # kernels of a layer; more cannot be looked at on a page


@dataclass(frozen=True)
class Layer:
    """A layer of filters: what `filters.json` holds, in numbers that have units."""

    name: str
    kernel_size: tuple[int, int]  # bands, frames
    carrier: str
    trainable: bool
    start: np.ndarray  # (4, C)
    end: np.ndarray
    hop_seconds: float | None

    @property
    def moves(self) -> Moves:
        return measure_moves(self.start, self.end, self.kernel_size, self.carrier)

    @property
    def unit(self) -> str:
        """Of temporal modulation."""
        return "cycles/frame" if self.hop_seconds is None else "Hz"

    def modulations(self) -> np.ndarray:
        """(2, 2, C): at the start and at the end, temporal in `unit` and spectral in cycles a band.

        A wave and the one that runs the other way are the same: the spectral one is from 0 on at the start.
        """
        both = np.array([find_modulations(each, self.kernel_size) for each in (self.start, self.end)])
        both[:, 0] /= self.hop_seconds or 1.0
        return np.where(both[0, 1] < 0, -both, both)


def find_layers(run: Run) -> list[Layer]:
    """The layers of filters of a run; of kinds that this report can draw."""
    layers = (run.filters or {}).get("layers", [])
    return [
        Layer(
            name=layer["name"],
            kernel_size=(layer["kernel_size"]["bands"], layer["kernel_size"]["frames"]),
            carrier=layer["carrier"],
            trainable=layer["trainable"],
            start=read_numbers(layer["start"]),
            end=read_numbers(layer["end"]),
            hop_seconds=find_hop(run.model, layer["name"]),
        )
        for layer in layers
    ]


def find_hop(model: dict[str, Any] | None, name: str) -> float | None:
    """Seconds between the frames that a module gets; None where these are not those of the features."""
    modules = (model or {}).get("modules", [])
    inputs = [module.get("input_shape") for module in modules if module["name"] == name]
    if not inputs or not inputs[0] or len(inputs[0]) < 2:
        return None
    n_frames = inputs[0][1]
    hops = [
        module["hop_seconds"]
        for module in modules
        if module.get("hop_seconds") and (module["output_shape"] or [0, 0])[1:2] == [n_frames]
    ]
    return hops[-1] if hops else None


def summarize_filters(run: Run) -> list[dict[str, Any]]:
    """For `report.json`: of each layer how far its filters went, in percent, and what they have kept."""
    rows = []
    for layer in find_layers(run):
        moves = layer.moves
        moved, correlation = 100 * _finite(moves.moved), _finite(moves.correlation)
        rows.append(
            {
                "name": layer.name,
                "n": layer.start.shape[1],
                "trainable": layer.trainable,
                "moved_percent": {"median": _round(moved, np.median), "largest": _round(moved, np.max)},
                "correlation": {
                    "median": _round(correlation, np.median),
                    "smallest": _round(correlation, np.min),
                },
            }
        )
    return rows


def describe_filters(run: Run) -> list[dict[str, Any]]:
    """For the page: of each layer a chart, its filters in order, and its summary."""
    summaries = summarize_filters(run)
    return [
        {
            "layer": layer,
            "summary": summary,
            "chart": draw_modulations(layer),
            "groups": list_groups(layer),
            "n_drawn": min(N_DRAWN, summary["n"]),
        }
        for layer, summary in zip(find_layers(run), summaries, strict=True)
    ]


def draw_modulations(layer: Layer) -> Scatter | None:
    """Spectral against temporal modulation, of every filter from its start to its end."""
    modulations = layer.modulations()
    arrows = [
        (tuple(start), tuple(end), f"filter {number}")
        for number, (start, end) in enumerate(zip(modulations[0].T, modulations[1].T, strict=True))
        if np.isfinite([start, end]).all()
    ]
    title = "Modulation of the filters"
    x_name, y_name = f"temporal modulation ({layer.unit})", "spectral modulation (cycles/band)"
    return draw_scatter(title, arrows, x_name=x_name, y_name=y_name)


def list_groups(layer: Layer) -> list[dict[str, Any]]:
    """Filters by octave of temporal modulation, slow before fast, in each by spectral modulation."""
    temporal, spectral = layer.modulations()[1]
    octaves = [_octave(abs(value), layer.hop_seconds is None) for value in temporal]
    order = sorted(range(len(octaves)), key=lambda i: (octaves[i], abs(spectral[i]), i))
    every = max(1, math.ceil(len(order) / N_DRAWN))
    drawn = set(order[::every])
    rows = _describe_each(layer, temporal, spectral, drawn)
    return [
        {
            "title": _name_octave(octave, layer),
            "filters": [rows[number] for number in order if octaves[number] == octave],
        }
        for octave in sorted(set(octaves))
    ]


def _describe_each(
    layer: Layer, temporal: np.ndarray, spectral: np.ndarray, drawn: set[int]
) -> list[dict[str, Any]]:
    moves = layer.moves
    states = [("start", layer.start), ("learned", layer.end)] if layer.trainable else [("frozen", layer.end)]
    kernels = [(name, make_kernels(each, layer.kernel_size, layer.carrier)[:, 0]) for name, each in states]
    return [
        {
            "number": number,
            "temporal": temporal[number],
            "spectral": spectral[number],
            "width_f": layer.end[2, number],
            "width_t": layer.end[3, number],
            "turned": moves.turned[number],
            "modulation": 100 * moves.modulation[number],
            "change_f": 100 * moves.width_f[number],
            "change_t": 100 * moves.width_t[number],
            "moved": 100 * moves.moved[number],
            "correlation": moves.correlation[number],
            "pictures": [(name, _draw(each[number])) for name, each in kernels] if number in drawn else [],
        }
        for number in range(len(temporal))
    ]


def _draw(kernel: np.ndarray) -> str | None:
    return draw_signed(kernel) if np.isfinite(kernel).all() else None


def _octave(value: float, in_frames: bool) -> int:
    """The power of 2 at or below a temporal modulation; all below 1 Hz, or 1/64 cycles a frame, are one."""
    if not math.isfinite(value):
        return 1_000
    lowest = -7 if in_frames else -1
    return max(lowest, math.floor(math.log2(value))) if value > 0 else lowest


def _name_octave(octave: int, layer: Layer) -> str:
    if octave == 1_000:
        return "not finite"
    low, high = (f"{2.0**power:g}" if power >= 0 else f"1/{2**-power}" for power in (octave, octave + 1))
    is_lowest = octave == (-7 if layer.hop_seconds is None else -1)
    return f"below {high} {layer.unit}" if is_lowest else f"{low} to {high} {layer.unit}"


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _round(values: np.ndarray, pick: Any) -> float | None:
    return round(float(pick(values)), 4) if len(values) else None
