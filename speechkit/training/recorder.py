"""What a run leaves behind while it goes on: lines of the log, checkpoints; and how it goes on from them."""

import time
from pathlib import Path
from typing import Any

from torch import nn

from speechkit.errors import UserError
from speechkit.training.bar import say
from speechkit.training.checkpoint import Checkpoint, CheckpointFolder, epoch_name, load_weights
from speechkit.training.log import RunLog, append_event
from speechkit.training.progress import Progress
from speechkit.training.step import Learner, StepResult


class Recorder:
    """Writes the run folder of a training. `resume` must come first: it opens the log.

    fingerprint, data_digest: of the experiment and of its training cuts, "" where nobody knows them;
        checkpoints of others are refused.
    """

    def __init__(self, folder: Path, modules: nn.Module, learners: list[Learner]) -> None:
        self.folder = folder
        self.checkpoints = CheckpointFolder(folder / "checkpoints", self._note_damage)
        self.fingerprint = self.data_digest = ""
        self.seconds_of_last_save = time.monotonic()
        self._modules, self._learners = modules, learners
        self._log: RunLog | None = None

    def resume(self) -> Progress:
        """Load the newest whole checkpoint, cut the log back to it and tell where the run stands."""
        progress, offset = Progress(), 0
        whole = self.checkpoints.find()
        if whole:
            checkpoint = whole[0]
            self._check_origin(checkpoint)
            load_weights(self._modules, checkpoint)
            state = checkpoint.read_state()
            self._load_learners(state["learners"], checkpoint)
            progress, offset = Progress.from_dict(state["progress"]), state["log_offset"]
            append_event(self.folder, "resumed", checkpoint=checkpoint.folder.name)
            say(f"resuming from {checkpoint.folder.name}, at step {progress.step}")
            # A killed process may not have come to remove what its last save made needless.
            kept = _kept_epochs(progress) | {checkpoint.folder.name}
            self.checkpoints.remove({each.folder.name for each in whole} - kept)
        self._log = RunLog(self.folder / "log.jsonl", offset)
        self.seconds_of_last_save = time.monotonic()
        return progress

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
        figures = " | ".join(
            f"{stage} " + ", ".join(f"{name} {value:.4g}" for name, value in values.items())
            for stage, values in metrics.items()
        )
        seconds = progress.train_seconds + valid_seconds
        say(f"epoch {progress.epoch:>3} | {figures} | {seconds:.1f} s{' | best' if best else ''}")

    def save_epoch(self, progress: Progress, done: int) -> None:
        """After epoch `done`. Kept are it, the one before (should it be damaged) and the best."""
        self._save(epoch_name(done), "epoch", progress)
        self.checkpoints.keep_only(_kept_epochs(progress))

    def save_recovery(self, progress: Progress) -> None:
        """Within an epoch; replaces the recovery checkpoint before it."""
        name = f"recovery-{progress.step:08d}"
        self._save(name, "recovery", progress)
        self.checkpoints.keep_only(_kept_epochs(progress) | {name})

    def _save(self, name: str, kind: str, progress: Progress) -> None:
        # The log goes to the disk first: a checkpoint must never know more of it than is there.
        offset = self._log.sync() if self._log is not None else 0
        state = {
            "learners": {learner.name: learner.state_dict() for learner in self._learners},
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
        self.checkpoints.save(name, self._modules, state, about)
        self.seconds_of_last_save = time.monotonic()

    def _write(self, line: dict[str, Any]) -> None:
        if self._log is not None:
            self._log.write(line)

    def _learning_rates(self) -> dict[str, float]:
        return {learner.name: learner.learning_rate for learner in self._learners}

    def _load_learners(self, states: dict[str, Any], checkpoint: Checkpoint) -> None:
        names = [learner.name for learner in self._learners]
        if sorted(states) != sorted(names):
            raise UserError(
                f"{checkpoint.folder} holds optimizers named {sorted(states)}", expected=f"{sorted(names)}"
            )
        for learner in self._learners:
            learner.load_state_dict(states[learner.name])

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
        append_event(self.folder, "checkpoint_damaged", checkpoint=name, reason=reason)
        say(f"checkpoint {name} is damaged and not used: {reason}")


def _kept_epochs(progress: Progress) -> set[str]:
    """While `progress.epoch` is under way: the epoch before it, one more should that be damaged, the best."""
    kept = {progress.epoch - 1, progress.epoch - 2, progress.best_epoch}
    return {epoch_name(epoch) for epoch in kept if epoch > 0}
