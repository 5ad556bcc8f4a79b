"""Separation of several microphones' signals by independent component analysis; nothing is trained."""

import torch
from torch import Tensor

from speechkit.errors import UserError

# M microphones, S sources, N samples


def separate_by_ica(signals: Tensor, n_sources: int, seed: int = 0) -> Tensor:
    """Signals (M, N) of M >= S microphones, to the sources (S, N) as the first microphone hears them.

    Sources reach all microphones at once, each with a gain of its own: no delay and no echo, as for pick-ups
    or recordings that were mixed. By scikit-learn's FastICA (Hyvarinen, "Fast and robust fixed-point
    algorithms for independent component analysis", 1999), which needs the extra `baselines`. Where fewer
    sources are found than asked for, as in silence, the others are 0. The sources' order is that of chance.
    """
    try:
        from sklearn.decomposition import FastICA
    except ImportError as error:
        raise UserError("separation by ICA needs scikit-learn", do="install speechkit[baselines]") from error
    if signals.dim() != 2 or not 1 <= n_sources <= len(signals):
        found = f"{n_sources} sources in signals of shape {tuple(signals.shape)}"
        raise UserError(found, expected="(microphones, samples), no more sources than microphones")
    x = signals.double()
    centred = x - x.mean(1, keepdim=True)
    # What is 100 dB below the loudest is rounding, not a source.
    n_found = min(n_sources, int(torch.linalg.matrix_rank(centred @ centred.T, rtol=1e-10)))
    estimates = torch.zeros(n_sources, x.shape[1], dtype=x.dtype)
    if n_found:
        ica = FastICA(n_found, whiten="unit-variance", random_state=seed, max_iter=1000)
        sources = torch.tensor(ica.fit_transform(centred.T.cpu().numpy())).T
        estimates[:n_found] = sources * torch.tensor(ica.mixing_[0]).unsqueeze(1)
    return estimates.to(signals)
