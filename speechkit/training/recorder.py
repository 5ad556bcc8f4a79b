"""What a run leaves behind while it goes on: lines of the log, checkpoints; and how it goes on from them."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from speechkit.errors import UserError
from speechkit.report import write_log_csv
from speechkit.training.bar import say
from speechkit.training.checkpoint import Checkpoint, CheckpointFolder, epoch_name, load_weights, own_tensors
from speechkit.training.log import RunLog, append_event
from speechkit.training.parallel import whole
from speechkit.training.processes import Processes
from speechkit.training.progress import Progress
from speechkit.training.step import Stepper, StepResult


class Recorder:
    """Writes the run folder of a training. `resume` must come first: it opens the log.

    Of several processes the main one alone writes; all call the same methods.

    fingerprint, data_digest: of the experiment and of its training cuts, "" where nobody knows them;
        checkpoints of others are refused.
    """

    def __init__(self, folder: Path, modules: nn.Module, stepper: Stepper, processes: Processes) -> None:
        self.folder = folder
        self.checkpoints = CheckpointFolder(folder / "checkpoints", self._note_damage)
        self.fingerprint = self.data_digest = ""
        self.seconds_of_last_save = time.monotonic()
        self._modules, self._stepper, self._processes = modules, stepper, processes
        self._log: RunLog | None = None
        self._told: set[str] = set()

    def resume(self) -> Progress:
        """Load the newest whole checkpoint, cut the log back to it and tell where the run stands."""
        progress, offset = Progress(), 0
        found = self.checkpoints.find() if self._processes.is_main else []
        if found:
            self._check_origin(found[0])
        newest = self._named(self._processes.from_main(found[0].folder.name if found else None))
        if newest is not None:
            load_weights(self._modules, newest)
            state = newest.read_state()
            self._load_state(state, newest)
            progress, offset = Progress.from_dict(state["progress"]), state["log_offset"]
            self.note("resumed", checkpoint=newest.folder.name)
            self.say(f"resuming from {newest.folder.name}, at step {progress.step}")
            # A killed process may not have come to remove what its last save made needless.
            kept = _kept_epochs(progress) | {newest.folder.name}
            self.checkpoints.remove({each.folder.name for each in found} - kept)
        if self._processes.is_main:
            self._log = RunLog(self.folder / "log.jsonl", offset)
        self.seconds_of_last_save = time.monotonic()
        return progress

    def best(self) -> Checkpoint | None:
        """The checkpoint of the best epoch so far."""
        found = self.checkpoints.best() if self._processes.is_main else None
        return self._named(self._processes.from_main(found.folder.name if found else None))

    def note(self, event: str, **details: Any) -> None:
        """A line of `events.jsonl`."""
        if self._processes.is_main:
            append_event(self.folder, event, **details)

    def say(self, text: str) -> None:
        """A line for the person at the terminal, once."""
        if self._processes.is_main:
            say(text)

    def tell(self, notices: Sequence[str]) -> None:
        """Say what may concern the user, and keep it among the events; what two processes met, once."""
        for notice in notices:
            if notice not in self._told:
                self._told.add(notice)
                self.note("warning", text=notice)
                self.say(notice)

    def close(self) -> None:
        if self._log is not None:
            self._log.close()

    def write_step(self, progress: Progress, result: StepResult) -> None:
        self._write(
            {
                "kind": "step",
                "step": progress.step,
                "epoch": progress.epoch,
                **progress.pop_window(),
                "learning_rate": self._learning_rates(),
                "gradient_norm": result.gradient_norm,
                "time": time.time(),
            }
        )

    def write_epoch(
        self, progress: Progress, metrics: dict[str, dict[str, float]], valid_seconds: float
    ) -> None:
        """A line of the log, flushed, and one for the terminal; metrics by stage."""
        best = progress.best_epoch == progress.epoch
        self._write(
            {
                "kind": "epoch",
                "epoch": progress.epoch,
                "step": progress.step,
                **metrics,
                "learning_rate": self._learning_rates(),
                "best": best,
                "skipped": {"steps_nonfinite": progress.n_nonfinite, "utterances": progress.skipped},
                "train_seconds": progress.train_seconds,
                "valid_seconds": valid_seconds,
                "time": time.time(),
            }
        )
        if self._log is not None:
            self._log.flush()
            write_log_csv(self.folder)
        figures = " | ".join(
            f"{stage} " + ", ".join(f"{name} {value:.4g}" for name, value in values.items())
            for stage, values in metrics.items()
        )
        seconds = progress.train_seconds + valid_seconds
        self.say(f"epoch {progress.epoch:>3} | {figures} | {seconds:.1f} s{' | best' if best else ''}")

    def is_save_due(self, minutes: float | None) -> bool:
        """Whether the main process has saved nothing for so long."""
        seconds = time.monotonic() - self.seconds_of_last_save
        return minutes is not None and self._processes.is_main and seconds > 60 * minutes

    def save_epoch(self, progress: Progress, done: int) -> None:
        """After epoch `done`. Kept are it, the one before (should it be damaged) and the best."""
        self._save(epoch_name(done), "epoch", progress, _kept_epochs(progress))

    def save_recovery(self, progress: Progress) -> None:
        """Within an epoch; replaces the recovery checkpoint before it."""
        name = f"recovery-{progress.step:08d}"
        self._save(name, "recovery", progress, _kept_epochs(progress) | {name})

    def _save(self, name: str, kind: str, progress: Progress, kept: set[str]) -> None:
        # Sharded weights are put together by all processes.
        keep = self._processes.is_main
        weights = whole(own_tensors(self._modules), keep=keep)
        learned = whole(self._stepper.state_dict(), keep=keep)
        self.seconds_of_last_save = time.monotonic()
        if not self._processes.is_main:
            return
        # The log goes to the disk first: a checkpoint must never know more of it than is there.
        offset = self._log.sync() if self._log is not None else 0
        state = {
            **learned,
            "progress": progress.to_dict(),
            "log_offset": offset,
        }
        about = {
            "kind": kind,
            "step": progress.step,
            "epoch": progress.epoch,
            "fingerprint": self.fingerprint,
            "data_digest": self.data_digest,
        }
        self.checkpoints.save(name, weights, state, about)
        self.checkpoints.keep_only(kept)

    def _write(self, line: dict[str, Any]) -> None:
        if self._log is not None:
            self._log.write(line)

    def _learning_rates(self) -> dict[str, float]:
        return {learner.name: learner.learning_rate for learner in self._stepper.learners}

    def _named(self, name: str | None) -> Checkpoint | None:
        """The checkpoint of a name that the main process found whole."""
        return None if name is None else Checkpoint.of(self.checkpoints.folder / name)

    def _load_state(self, state: dict[str, Any], checkpoint: Checkpoint) -> None:
        states, names = state["learners"], [learner.name for learner in self._stepper.learners]
        if sorted(states) != sorted(names):
            raise UserError(
                f"{checkpoint.folder} holds optimizers named {sorted(states)}", expected=f"{sorted(names)}"
            )
        self._stepper.load_state_dict(state)

    def _check_origin(self, checkpoint: Checkpoint) -> None:
        for own, key, what in (
            (self.fingerprint, "fingerprint", "belongs to another experiment"),
            (self.data_digest, "data_digest", "was trained on other cuts than the manifest holds now"),
        ):
            if own and checkpoint.manifest.get(key, "") != own:
                raise UserError(
                    f"{checkpoint.folder} {what}", do="give another output_folder, or --restart to begin anew"
                )

    def _note_damage(self, name: str, reason: str) -> None:
        self.note("checkpoint_damaged", checkpoint=name, reason=reason)
        self.say(f"checkpoint {name} is damaged and not used: {reason}")


def _kept_epochs(progress: Progress) -> set[str]:
    """While `progress.epoch` is under way: the epoch before, one more should that be damaged, the best."""
    kept = {progress.epoch - 1, progress.epoch - 2, progress.best_epoch}
    kept |= {int(epoch) for _, epoch in progress.ranking}
    return {epoch_name(epoch) for epoch in kept if epoch > 0}
