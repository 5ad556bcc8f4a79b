"""The scale of a loss in fp16, whose gradients would else be rounded to zero."""

from dataclasses import asdict, dataclass


@dataclass
class LossScale:
    """As large as gradients bear: halved when they overflow, doubled after many steps when they do not.

    Micikevicius et al., "Mixed Precision Training" (2018), part 3.2; constants of torch's GradScaler.

    >>> scale = LossScale(factor=8.0, growth_steps=2)
    >>> for finite in (False, True, True): scale.update(finite)
    >>> scale.factor
    8.0
    """

    factor: float = 2.0**16
    growth_steps: int = 2000
    n_good_steps: int = 0

    def update(self, finite: bool) -> None:
        """After every step."""
        self.n_good_steps = self.n_good_steps + 1 if finite else 0
        if not finite:
            self.factor = max(1.0, self.factor / 2)
        elif self.n_good_steps == self.growth_steps:
            self.factor, self.n_good_steps = self.factor * 2, 0

    def state_dict(self) -> dict[str, float]:
        return asdict(self)

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.factor, self.n_good_steps = state["factor"], int(state["n_good_steps"])
