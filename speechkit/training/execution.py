"""Where and how precisely a model computes."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from speechkit.errors import UserError
from speechkit.training.processes import is_started_by_torchrun, local_rank

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt(3)
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(device: str) -> torch.device:
    """The device by its name; "auto" is cuda where there is one.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    wrong = UserError(f"device is {device!r}", expected="auto, cpu, cuda or cuda:N", key="device")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise wrong from error
    if chosen.type not in ("cpu", "cuda"):
        raise wrong
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise UserError("device is cuda, but torch finds no GPU", do="use device: cpu or auto", key="device")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        found = f"device is {device}, and torch finds {torch.cuda.device_count()} GPUs"
        raise UserError(found, expected="cuda:0 and so on", key="device")
    if chosen.type == "cuda" and is_started_by_torchrun():
        return _choose_own_gpu(chosen)
    return chosen


def _choose_own_gpu(device: torch.device) -> torch.device:
    n_gpus = torch.cuda.device_count()
    if str(device) != "cuda" or local_rank() >= n_gpus:
        found = f"device is {device}, for several processes on a machine of {n_gpus} GPUs"
        raise UserError(found, expected="cuda, and as many GPUs as processes", key="device")
    return torch.device("cuda", local_rank())


def choose_precision(name: str, key: str) -> torch.dtype | None:
    """The dtype of autocast; None for fp32."""
    if name not in PRECISIONS:
        raise UserError(f"{key} is {name!r}", expected=" or ".join(PRECISIONS), key=key)
    return PRECISIONS[name]


def keep_freed_memory(device: torch.device) -> None:
    """Let the C library keep memory that is freed, as a step on the CPU asks for as much again at once.

    By default glibc gives large blocks back to the system, and each step has its pages mapped and cleared
    anew (what that costs: docs/benchmarks.md). Elsewhere than on Linux nothing is done.
    """
    if device.type != "cpu" or not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, 2**25)  # bytes; the most that glibc takes
        mallopt(TRIM_THRESHOLD, 2**31 - 1)


def autocast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager:
    """The context of a precision; none for fp32."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


@contextmanager
def determinism(wanted: bool) -> Iterator[None]:
    """Within it only kernels that give the same bits each time; torch names an operation without one."""
    before = torch.are_deterministic_algorithms_enabled()
    if wanted:  # cuBLAS asks for it, before its first use
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(wanted or before)
    try:
        yield
    except RuntimeError as error:
        if not wanted or "determinis" not in str(error):
            raise
        do = "use another layer, or deterministic: false"
        raise UserError(str(error).splitlines()[0], do=do, key="deterministic") from error
    finally:
        torch.use_deterministic_algorithms(before)
