"""What one step is for: the stage it belongs to and the loss it returns."""

from dataclasses import dataclass
from enum import Enum

from torch import Tensor


class Stage(Enum):
    """Where a batch is used; only in TRAIN do weights change and augmentations apply."""

    TRAIN = "train"
    VALID = "valid"
    TEST = "test"


@dataclass(frozen=True)
class Loss:
    """A sum and what it is averaged over.

    Kept apart so that several batches make one step with the gradient of one large batch:
    totals add, counts add, and the quotient is taken once.

    total: scalar tensor, the loss summed over the batch.
    count: utterances, frames or tokens that it was summed over; positive.

    >>> import torch
    >>> Loss(torch.tensor(6.0), 3).count
    3
    """

    total: Tensor
    count: float
