"""Members learn from shares of the batch and answer by their mean probabilities."""

import torch
from torch import nn

from speechkit.models import Ensemble


class Scaled(nn.Module):
    """Logits: the features times a number of its own; counts the rows it was given in training."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.randn((), dtype=torch.float64))
        self.rows: list[int] = []

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        self.rows.append(len(features))
        return features * self.factor + lengths[:, None]


def test_training_gives_each_row_to_one_member_and_keeps_their_order() -> None:
    model, x, lengths = Ensemble(Scaled, 3), torch.randn(7, 4, dtype=torch.float64), torch.arange(7)
    logits = model(x, lengths)
    factors = torch.stack([model.members[row % 3].factor for row in range(7)])
    torch.testing.assert_close(logits, x * factors[:, None] + lengths[:, None])
    assert [member.rows for member in model.members] == [[3], [2], [2]]


def test_fewer_rows_than_members() -> None:
    model = Ensemble(Scaled, 5)
    assert model(torch.randn(2, 4, dtype=torch.float64), torch.arange(2)).shape == (2, 4)
    assert [member.rows for member in model.members] == [[1], [1], [], [], []]


def test_evaluation_averages_probabilities() -> None:
    model = Ensemble(Scaled, 3).eval()
    x, lengths = torch.randn(5, 4, dtype=torch.float64), torch.arange(5)
    by_hand = sum(member(x, lengths).softmax(-1) for member in model.members) / 3
    torch.testing.assert_close(model(x, lengths).exp(), by_hand, rtol=1e-12, atol=1e-12)
