"""An encoder and one label for all that it heard."""

from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.nnet import Linear, StatisticsPooling

# B batch, T frames, F bands, W width, V classes


class Classifier(nn.Module):
    """`encoder`, mean and deviation of its true frames, a linear layer: (features, lengths) to logits (B, V).

    `encoder` maps (features, lengths) to (B, T', W), and has `output_shape` and `output_lengths`: a `CRDNN`,
    an `nnet.Sequential`. Of numbers all parts are read.

    >>> import torch
    >>> from speechkit.models import CRDNN
    >>> encoder = CRDNN((None, None, 40), channels=[16], hidden_size=8)
    >>> Classifier(encoder, n_classes=10)(torch.randn(2, 30, 40), torch.tensor([30, 17])).shape
    torch.Size([2, 10])
    """

    def __init__(self, encoder: nn.Module, n_classes: int) -> None:
        super().__init__()
        shape = getattr(encoder, "output_shape", None)
        if shape is None or len(shape) != 3:
            raise UserError(
                f"{type(encoder).__name__} has the output_shape {shape}",
                expected="an encoder to (batch, frames, width)",
                key="encoder",
            )
        self.encoder, self.pool = encoder, StatisticsPooling()
        self.output = Linear(n_classes, input_size=2 * shape[2])

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F) or (B, T, F, n), true lengths (B,) in frames, to logits (B, V)."""
        x = self.encoder(features, lengths)
        lengths = None if lengths is None else self.encoder.output_lengths(lengths)  # type: ignore[operator]
        return self.output(self.pool(x, lengths))
