"""A trained separator in use."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.ops.stitching import fit_to_mixture
from speechkit.tasks.inputs import hear_as_loud
from speechkit.tasks.separate import WINDOWS, SeparatedFile, name_outputs, separate_file
from speechkit.tasks.windows import WindowPlan

SHORTEST_SECONDS = 0.1  # that a model hears: what is shorter gets silence behind it


class Separator:
    """A trained separator, as `speechkit.load` gives it.

    modules: `separator`, waveforms (B, N) and lengths (B,) to estimates (B, S, N).
    sample_rate: Hz, of the model. n_sources: S.
    """

    def __init__(self, modules: nn.ModuleDict, sample_rate: int, n_sources: int = 2) -> None:
        if "separator" not in modules:
            raise UserError("modules without a separator", expected="a run of separation")
        self.modules, self.sample_rate, self.n_sources = modules.eval(), sample_rate, n_sources

    def separate(self, waveform: Tensor | np.ndarray | Sequence[float], sample_rate: int) -> Tensor:
        """The sources of one waveform, (S, N) at the model's rate, all of it heard at once.

        waveform: (N,), or (C, N), of which the mean over channels is taken. As with data, the model hears
            what is beyond [-1, 1] scaled down to its peak.
        sample_rate: Hz; another rate than the model's is resampled.

        The estimates have the level of the waveform: `fit_to_mixture` brings their sum nearest to it. Their
        order is the model's. Of silence they are silence.

        Raises UserError for what is no waveform, and where the model gives values that are not finite.
        """
        return self._separate(hear_as_loud(waveform, sample_rate, self.sample_rate))

    def separate_file(
        self, path: str | PathLike[str], folder: str | PathLike[str], plan: WindowPlan = WINDOWS
    ) -> SeparatedFile:
        """Write the sources of an audio file to `folder/NAME_1.wav`, `NAME_2.wav` and so on.

        path: of any format, rate, number of channels and length that soundfile reads.
        plan: the windows that a longer file is heard in.

        The results are as long as the file and at its rate. Files of these names are replaced.

        Raises UserError for a file that cannot be heard to its end; nothing is written then.
        """
        (outputs,) = name_outputs([str(path)], folder, self.n_sources)
        return self.write_sources(path, outputs, plan)

    def write_sources(
        self, path: str | PathLike[str], outputs: Sequence[Path], plan: WindowPlan = WINDOWS
    ) -> SeparatedFile:
        """As `separate_file`, to a path for each source."""
        return separate_file(path, outputs, self._separate, self.sample_rate, plan)

    @torch.no_grad()
    def _separate(self, wave: Tensor) -> Tensor:
        """(N,) of any level at the model's rate to (S, N), on the CPU."""
        if not wave.any():
            return torch.zeros(self.n_sources, len(wave))
        n_heard = max(len(wave), round(SHORTEST_SECONDS * self.sample_rate))
        heard = nn.functional.pad(wave / wave.abs().max().clamp_min(1), (0, n_heard - len(wave)))
        device = next(self.modules.parameters()).device
        estimates = self.modules["separator"](heard[None].to(device), torch.tensor([n_heard], device=device))
        if tuple(estimates.shape) != (1, self.n_sources, n_heard):
            found = f"the model gives estimates of shape {tuple(estimates.shape)}"
            raise UserError(found, expected=f"{(1, self.n_sources, n_heard)}", key="n_sources")
        estimates = estimates[0, :, : len(wave)].float().cpu()
        if not estimates.isfinite().all():
            raise UserError("the model gives values that are not finite")
        fitted = fit_to_mixture(estimates, wave)
        if not fitted.isfinite().all():
            raise UserError(f"samples up to {wave.abs().max():.3g}", expected="a level that floats can hold")
        return fitted
