"""The command `speechkit`."""

from speechkit.cli.command import main

__all__ = ["main"]
