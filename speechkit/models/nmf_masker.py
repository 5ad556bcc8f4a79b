"""Masks by non-negative matrix factorisation, with a dictionary for each speaker; nothing is trained."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.models.stft import STFTEncoder
from speechkit.ops.algebra import norm
from speechkit.ops.nmf import activate, factorize

# B batch, S sources, N samples, T frames, F bins, K components


class NMFMasker(nn.Module):
    """Real masks (B, S, T, F) for complex spectra (B, T, 2 F), by a dictionary (F, K) of each source.

    The mixture's magnitudes are explained by all dictionaries together; a source's mask is its share of what
    explains a bin (Smaragdis, Raj, Shashanka, "Supervised and semi-supervised separation of sounds from
    single-channel mixtures", 2007). A mask of silence is the same for all.

    dictionaries: from `learn_dictionary`, with the same windows as the encoder. divergence: kl or euclidean.

    >>> one, other = torch.eye(9)[:, :4], torch.eye(9)[:, 4:]
    >>> masks = NMFMasker([one, other])(torch.randn(2, 7, 18))
    >>> masks[0, :, 0].round().tolist()[0]
    [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """

    def __init__(
        self, dictionaries: Sequence[Tensor], divergence: str = "kl", n_iterations: int = 100
    ) -> None:
        super().__init__()
        if len({each.shape[0] for each in dictionaries}) != 1:
            found = f"dictionaries of shapes {[tuple(each.shape) for each in dictionaries]}"
            raise UserError(found, expected="(bins, components) each, of the same bins", key="dictionaries")
        self.sizes = [each.shape[1] for each in dictionaries]
        self.divergence, self.n_iterations = divergence, n_iterations
        self.dictionary: Tensor
        self.register_buffer("dictionary", torch.cat(list(dictionaries), 1))

    def forward(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, 2 F) to (B, S, T, F); no frame knows of another, so that padding does not matter."""
        magnitudes = norm(frames, "complex").mT
        activations = activate(magnitudes, self.dictionary, self.divergence, self.n_iterations)
        parts = zip(self.dictionary.split(self.sizes, 1), activations.split(self.sizes, 1), strict=True)
        explained = torch.stack([of_source @ active for of_source, active in parts], 1)
        floor = torch.finfo(explained.dtype).tiny
        shares = (explained + floor) / (explained + floor).sum(1, keepdim=True)
        return shares.mT


@torch.no_grad()
def learn_dictionary(
    signals: Sequence[Tensor],
    encoder: STFTEncoder,
    n_components: int = 40,
    divergence: str = "kl",
    n_iterations: int = 100,
) -> Tensor:
    """The dictionary (F, K) of a speaker's signals (N,), of any lengths: parts of their magnitudes.

    >>> learn_dictionary([torch.randn(900), torch.randn(700)], STFTEncoder(16, 8), n_components=3).shape
    torch.Size([9, 3])
    """
    if not signals:
        raise UserError("no signals", expected="one or more of each speaker", key="signals")
    spectra = torch.cat([encoder(each.unsqueeze(0))[0][0] for each in signals])
    return factorize(norm(spectra, "complex").mT, n_components, divergence, n_iterations)[0]
