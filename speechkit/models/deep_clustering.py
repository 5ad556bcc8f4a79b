"""Deep clustering: bins that the same source fills get embeddings near each other."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.errors import UserError
from speechkit.features import UtteranceNorm
from speechkit.losses import deep_clustering_loss
from speechkit.models.masks import apply_masks
from speechkit.models.spectral_maskers import level, log_magnitudes
from speechkit.models.stft import STFTDecoder, STFTEncoder
from speechkit.nnet import Linear, Sequential
from speechkit.ops.algebra import norm, to_complex
from speechkit.ops.ideal_masks import binary_masks
from speechkit.ops.k_means import k_means
from speechkit.ops.lengths import mask_padding

# B batch, S sources, N samples, T frames, F bins, D dimensions


class DeepClustering(nn.Module):
    """Mixtures (B, N) to sources (B, S, N) by clusters of the spectrum's bins (Hershey et al., ICASSP 2016).

    A network makes of log magnitudes an embedding of unit length for each bin; `compute_loss` trains it.
    Estimates are binary masks on the mixture's spectrum, of the clusters that k-means finds among the
    embeddings. They have no gradient, and any number of sources may be asked for by `n_sources`. A bin
    counts by its magnitude (Wang, Le Roux, Hershey, ICASSP 2018), and not where it is `range_db` or more
    below the loudest of the utterance.

    net: (B, T, F), lengths -> (B, T, W), ready or a factory, which gets the `input_shape`, such as
        `!name:speechkit.nnet.LSTM`.

    >>> from speechkit.nnet import LSTM
    >>> model = DeepClustering(STFTEncoder(16, 4), partial(LSTM, 8), STFTDecoder(16, 4), n_sources=3)
    >>> model(torch.randn(2, 100), torch.tensor([100, 60])).shape
    torch.Size([2, 3, 100])
    """

    def __init__(
        self,
        encoder: STFTEncoder,
        net: nn.Module | Callable[..., nn.Module],
        decoder: STFTDecoder,
        n_sources: int,
        n_dimensions: int = 20,
        range_db: float = 40.0,
    ) -> None:
        super().__init__()
        if n_sources < 1:
            raise UserError(f"n_sources {n_sources}", expected="1 or more", key="n_sources")
        self.encoder, self.decoder, self.norm = encoder, decoder, UtteranceNorm()
        self.n_sources, self.n_dimensions, self.range_db = n_sources, n_dimensions, range_db
        self.layers = Sequential(
            (None, None, encoder.n_bins),
            net=net,
            embeddings=partial(Linear, encoder.n_bins * n_dimensions),
        )

    def embed(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Complex spectra (B, T, 2 F), true lengths (B,) in frames, to embeddings (B, T F, D) of length 1."""
        logs, _ = self.norm(log_magnitudes(level(frames, lengths)), lengths)
        y = torch.tanh(self.layers(logs, lengths))
        return F.normalize(y.unflatten(2, (-1, self.n_dimensions)).flatten(1, 2), dim=2)

    def weigh(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """What each bin counts, (B, T F): its share of the magnitudes, 0 of quiet bins and padding."""
        magnitudes = norm(mask_padding(frames, lengths), "complex").flatten(1)
        loudest = magnitudes.amax(1, keepdim=True) if magnitudes.shape[1] else magnitudes.new_zeros(1)
        heard = magnitudes * (magnitudes > loudest * 10 ** (-self.range_db / 20))
        return heard / heard.sum(1, keepdim=True).clamp_min(torch.finfo(heard.dtype).tiny)

    def compute_loss(self, waveforms: Tensor, sources: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The affinity loss of each mixture, (B,): waveforms (B, N), sources (B, S, N), lengths (B,)."""
        frames, n_frames = self.encoder(waveforms, lengths)
        n_sources = sources.shape[1]
        repeated = None if lengths is None else lengths.repeat_interleave(n_sources)
        of_sources, _ = self.encoder(sources.flatten(0, 1), repeated)
        masks = binary_masks(to_complex(of_sources).unflatten(0, (-1, n_sources)))
        labels = masks.movedim(1, -1).flatten(1, 2)
        return deep_clustering_loss(self.embed(frames, n_frames), labels, self.weigh(frames, n_frames))

    @torch.no_grad()
    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, N), true lengths (B,) in samples, to (B, S, N)."""
        frames, n_frames = self.encoder(waveforms, lengths)
        weights = self.weigh(frames, n_frames)
        clusters, _ = k_means(self.embed(frames, n_frames), weights, self.n_sources)
        masks = F.one_hot(clusters.unflatten(1, (frames.shape[1], self.encoder.n_bins)), self.n_sources)
        masked = apply_masks(masks.movedim(-1, 1).to(frames), frames, "complex")
        return mask_padding(self.decoder(masked, waveforms.shape[1]), lengths, axis=2)
