"""Speech experiments from one YAML: `speechkit.load(RUN)` gives a trained model."""

import os
from typing import Any

# Torch's threads wait for one another by spinning, which on a machine shared with other work makes training
# several times slower. A short spin costs nothing where nobody shares. Must stand before torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "100000")
# Of several processes each would tell that all its weights had gradients, which is as it should be.
if os.environ.get("WORLD_SIZE", "1") != "1":
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")

__version__ = "0.1.0"
__all__ = ["load"]


def __getattr__(name: str) -> Any:
    # Lazy: the command line and the reports must not wait for torch.
    if name == "load":
        from speechkit.tasks import load

        return load
    raise AttributeError(f"module 'speechkit' has no attribute {name!r}")
