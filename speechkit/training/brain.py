"""The training loop. A task says what a batch means; the loop says when."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from speechkit.errors import UserError
from speechkit.ops.random import derive_seed, seed_torch
from speechkit.ops.sharing import Share
from speechkit.training import arguments, execution
from speechkit.training.bar import ProgressBar
from speechkit.training.checkpoint import Checkpoint, load_weights
from speechkit.training.disk import full_disk_told
from speechkit.training.evaluation import Evaluation, News
from speechkit.training.execution import autocast, determinism
from speechkit.training.interruption import Interrupted, Interruption
from speechkit.training.objective import Loss, Stage
from speechkit.training.parallel import Parallel, shard, without_gradients
from speechkit.training.processes import Processes
from speechkit.training.progress import Length, Progress, averages
from speechkit.training.recorder import Recorder
from speechkit.training.scaling import LossScale
from speechkit.training.step import Stepper, StepResult, build_learners


class Brain:
    """Epochs of steps, validation, checkpoints and log; resumes by itself, to the same numbers.

    A task subclasses it and says what a batch means (`compute_forward`, `compute_objectives`,
    `compute_records`, `summarize`). The keyword arguments are the top-level keys of a YAML.

    modules: all that is trained or has weights, by name.
    optimizer: a factory over the weights of all modules, or `{name: {modules: [...], optimizer: factory}}`.
    train_data, valid_data: objects with `iterate(seed, epoch, skip)`, `n_cuts()` and `digest()`, as
        `data.CutBatches`.
    test_data: a mapping of subsets, evaluated by the task after training.
    n_epochs | n_steps: the length of training; one of them.
    schedule: of the learning rate, or a mapping by the optimizers' names.
    batches_per_step: consecutive batches whose gradients make one step, weighted by their counts; raised to
        the next multiple of the number of processes when a run begins.
    max_gradient_norm: clipping of the norm over all parameters; null is off.
    precision, eval_precision: "fp32", "bf16" or "fp16" (autocast), in training and else.
    patience: epochs without a better criterion until training stops early; null is never.
    nonfinite_patience: steps in a row with a loss or gradient that is not finite until the run stops.
    checkpoint_minutes, checkpoint_steps: a recovery checkpoint this often within an epoch; null is never.
    log_steps: a line of the log every so many steps.
    device: "auto", "cpu", "cuda", "cuda:1".
    parallel: of several processes (torchrun) each has a copy of the model, "replicas", or a part, "shards".
    criterion: [name, min | max] of the validation metric that tells the best epoch; null is the task's own.
    n_best_checkpoints: how many of the best epochs' checkpoints are kept.
    deterministic: only kernels that give the same bits each time (needed for exact resume on CUDA).
    init_from: a run or checkpoint folder whose weights, where name and shape match, a new run begins with.
    """

    criterion: tuple[str, str] = ("loss", "min")
    free_keys: tuple[str, ...] = (
        "data_folder", "output_folder", "manifest_folder", "init_from", "device", "n_workers",
        "log_steps", "checkpoint_minutes", "checkpoint_steps", "n_epochs", "n_steps", "patience",
    )  # fmt: skip
    required_modules: tuple[str, ...] = ()
    task = ""

    def __init__(
        self,
        *,
        modules: Mapping[str, nn.Module],
        optimizer: Any,
        train_data: Any,
        valid_data: Any,
        output_folder: str | Path,
        test_data: Mapping[str, Any] | None = None,
        n_epochs: int | None = None,
        n_steps: int | None = None,
        schedule: Any = None,
        seed: int = 0,
        batches_per_step: int = 1,
        max_gradient_norm: float | None = None,
        precision: str = "fp32",
        eval_precision: str = "fp32",
        patience: int | None = None,
        nonfinite_patience: int = 10,
        checkpoint_minutes: float | None = 15.0,
        checkpoint_steps: int | None = None,
        log_steps: int = 50,
        device: str = "auto",
        deterministic: bool = False,
        parallel: str = "replicas",
        criterion: Sequence[str] | None = None,
        n_best_checkpoints: int = 1,
        init_from: str | None = None,
    ) -> None:
        if (n_epochs is None) == (n_steps is None):
            raise UserError(
                "a training without one length", expected="either n_epochs or n_steps", key="n_epochs"
            )
        arguments.check_positive(
            n_epochs=n_epochs, n_steps=n_steps, batches_per_step=batches_per_step, patience=patience,
            nonfinite_patience=nonfinite_patience, checkpoint_minutes=checkpoint_minutes,
            checkpoint_steps=checkpoint_steps, log_steps=log_steps, n_best_checkpoints=n_best_checkpoints,
        )  # fmt: skip
        if seed < 0:
            raise UserError(f"seed is {seed}", expected="0 or more", key="seed")
        self.device = execution.choose_device(device)
        self.modules = arguments.as_module_dict(modules, self.required_modules)
        self.train_data, self.valid_data, self.test_data = train_data, valid_data, dict(test_data or {})
        self.n_epochs, self.n_steps, self.seed = n_epochs, n_steps, seed
        self.batches_per_step, self.log_steps = batches_per_step, log_steps
        self.patience, self.nonfinite_patience = patience, nonfinite_patience
        self.checkpoint_minutes, self.checkpoint_steps = checkpoint_minutes, checkpoint_steps
        self.deterministic, self.init_from = deterministic, init_from
        self.n_best_checkpoints = n_best_checkpoints
        if criterion is not None:
            self.criterion = arguments.check_criterion(criterion)
        self._dtype = execution.choose_precision(precision, "precision")
        self.eval_dtype = execution.choose_precision(eval_precision, "eval_precision")
        self.processes = Processes()
        arguments.check_parallel(parallel, optimizer)
        shard(self.modules, parallel, self.processes, self.device)
        self.modules.to(self.device)
        self.learners = build_learners(self.modules, optimizer, schedule)
        scale = LossScale() if self._dtype is torch.float16 else None
        self._stepper = Stepper(self.modules, self.learners, max_gradient_norm, self.processes, scale)
        self._parallel: Parallel | None = None
        self.progress = Progress()
        self.move_to(Path(output_folder))
        # A batch system may signal torchrun, which passes it on, and its processes too.
        grace_seconds = 3.0 if self.processes.n_ranks > 1 else 0.0
        self._interruption = Interruption(speaks=self.processes.is_main, grace_seconds=grace_seconds)
        self._news = News()
        self._last_batch: Any = None

    # What a task defines.

    def compute_forward(self, batch: Any, stage: Stage) -> Any:
        """Predictions for a batch."""
        raise UserError(f"{type(self).__name__} has no compute_forward", do="define it in the recipe's Brain")

    def screen(self, batch: Any) -> Any:
        """A batch of training less what the task cannot learn from, which joins `batch.skipped`."""
        return batch

    def compute_objectives(self, predictions: Any, batch: Any, stage: Stage) -> Loss | dict[str, Loss]:
        """The loss as a sum with its count, or one for each named optimizer."""
        raise UserError(
            f"{type(self).__name__} has no compute_objectives", do="define it in the recipe's Brain"
        )

    def compute_records(self, predictions: Any, batch: Any, stage: Stage) -> list[dict[str, Any]]:
        """One record for each utterance of a validation or test batch; the task says what is in it."""
        return []

    def summarize(self, records: list[dict[str, Any]]) -> dict[str, float]:
        """Metrics over the records of a subset."""
        return {}

    def prepare_run(self) -> None:
        """Called once, by the main process, when the data are there and before the first step."""

    def load_run(self, run: Path) -> None:
        """Called where a run's model is used again: by other processes of it, by an evaluation."""

    def fake_batch(self, n_utterances: int = 2) -> Any:
        """A batch as data would give, of different lengths and at most a second each, for the dry run."""
        raise UserError(f"{type(self).__name__} has no fake_batch", do="define it in the recipe's Brain")

    def on_stage_start(self, stage: Stage, epoch: int) -> None:
        """Called before the first batch of an epoch of a stage; also when a resumed run enters one midway."""

    def on_stage_end(self, stage: Stage, metrics: dict[str, float], epoch: int) -> None:
        """Called after the last batch of a stage with its averages; may add to the metrics."""

    # The loop.

    def move_to(self, output_folder: Path, make_recorder: Callable[..., Recorder] = Recorder) -> None:
        """Keep the run in another folder, or with another Recorder, before training begins."""
        self.output_folder = output_folder
        self.recorder = make_recorder(output_folder, self.modules, self._stepper, self.processes)

    def fit(self) -> None:
        """Train from where the run folder stands to the end of training; leaves the best weights loaded."""
        arguments.check_all_weights_in(self.modules, vars(self))
        execution.keep_freed_memory(self.device)
        with full_disk_told(self.output_folder):
            self.begin()
            try:
                with self._interruption, determinism(self.deterministic):
                    while not self.progress.is_over(self._length()):
                        self._run_epoch()
                    self._stop_if(self._is_interrupted())
            finally:
                self.recorder.close()
        self.load_best()

    def begin(self) -> None:
        """Be where the run folder stands, ready for the next step."""
        self.progress = self.recorder.resume()
        self._parallel = Parallel(self.modules, self._compute_losses, self.processes)
        chosen = self.progress.choose_group(self.batches_per_step, self.processes.n_ranks)
        if chosen:
            self.recorder.note("group_chosen", text=chosen)
            self.recorder.say(chosen)

    def evaluate(self, data: Any, stage: Stage = Stage.TEST) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """Metrics and records (sorted by id) of a subset, with the weights as they are, in eval mode."""
        epoch = self.progress.epoch
        self.modules.eval()
        self.on_stage_start(stage, epoch)
        seen = Evaluation()
        with (
            determinism(self.deterministic),
            ProgressBar(stage.value, data.n_cuts(), shown=self.processes.is_main) as bar,
            without_gradients(self.modules),
        ):
            everyone = Share(self.processes.rank, self.processes.n_ranks, self.processes.n_ranks)
            for batch in data.iterate(self.seed, 0, 0, everyone):
                seed_torch(
                    derive_seed(self.seed, stage.value, seen.n_batches + self.processes.rank), self.device
                )
                seen.begin_turn(batch)
                if len(batch):
                    seen.add(*self._evaluate_batch(batch, stage))
                elif self._parallel is not None and self._parallel.in_step:
                    self._evaluate_batch(self.fake_batch(), stage)
                bar.update(seen.n_cuts)
                if self._is_interrupted():
                    self.recorder.save_recovery(self.progress)
                    self._stop_if(interrupted=True)
        seen = seen.joined(self.processes)
        self.recorder.tell(seen.notices)
        metrics = seen.averages() | self.summarize([each for each in seen.records if not each.get("skipped")])
        self.on_stage_end(stage, metrics, epoch)
        return metrics, seen.records

    def load_best(self) -> Checkpoint | None:
        """Load the weights of the best epoch by the criterion; the last one where none was measured."""
        checkpoint = self.recorder.best()
        if checkpoint is not None:
            load_weights(self.modules, checkpoint)
            self.progress.epoch = checkpoint.weights_epoch  # of which a test is, too
        return checkpoint

    # One epoch.

    def _run_epoch(self) -> None:
        train_metrics = self.train_epoch()
        started = time.monotonic()
        valid_metrics, _ = self.evaluate(self.valid_data, Stage.VALID)
        self._end_epoch(train_metrics, valid_metrics, time.monotonic() - started)

    def train_epoch(self) -> dict[str, float]:
        """All that is left of the epoch's training, after `begin`; its mean losses."""
        progress = self.progress
        started = time.monotonic() - progress.train_seconds
        self.modules.train()
        self.on_stage_start(Stage.TRAIN, progress.epoch)  # which may freeze a part
        self._train_epoch(started)
        progress.train_seconds = time.monotonic() - started
        self._stepper.end_epoch(progress.epoch)
        train_metrics = progress.average_epoch(self.n_steps)
        self.on_stage_end(Stage.TRAIN, train_metrics, progress.epoch)
        return train_metrics

    def _train_epoch(self, started: float) -> None:
        progress = self.progress
        n_cuts = max(1, self.train_data.n_cuts())
        batches = self.train_data.iterate(self.seed, progress.epoch, progress.n_batches, self._share())
        title, shown = f"epoch {progress.epoch}", self.processes.is_main
        with ProgressBar(title, n_cuts, progress.n_cuts, shown=shown) as bar:
            loss = rate = None
            for batch in batches:
                if progress.steps_are_done(self.n_steps):
                    break
                self._train_batch(batch)
                if batch.turn.ends_group:  # the last group may be incomplete; its counts weigh it rightly
                    loss, rate = self._take_step(n_cuts, started), self.learners[0].learning_rate
                bar.update(progress.n_cuts, loss, rate)

    def _train_batch(self, batch: Any) -> None:
        """This process's batch of a turn; without one it keeps step with the others, at weight zero."""
        progress, alone = self.progress, self.processes.n_ranks == 1
        number = progress.n_batches + self.processes.rank
        seed_torch(derive_seed(self.seed, "train", progress.epoch, number), self.device)
        progress.n_batches += batch.turn.n_batches
        progress.n_cuts += batch.turn.n_cuts
        if len(batch):
            batch = self.screen(batch)
        self._news.add(batch)
        if not len(batch) and alone:
            return
        counts = len(batch) > 0
        ends_group = batch.turn.ends_group
        if counts:
            self._last_batch = None if alone else batch
        else:  # the last one, whose pass is known to work
            batch = self._last_batch or self.fake_batch()
        self._stepper.begin_batch()
        assert self._parallel is not None
        with self._parallel.losses(batch.to(self.device), ends_group=ends_group) as losses:
            self._stepper.add(losses, counts=counts)

    def _compute_losses(self, batch: Any) -> Loss | dict[str, Loss]:
        with autocast(self.device, self._dtype):
            return self.compute_objectives(self.compute_forward(batch, Stage.TRAIN), batch, Stage.TRAIN)

    def _take_step(self, n_cuts: int, started: float) -> float:
        progress, recorder = self.progress, self.recorder
        signals = [self._interruption.noted, recorder.is_save_due(self.checkpoint_minutes), bool(self._news)]
        fraction = progress.epoch - 1 + min(1.0, progress.n_cuts / n_cuts)
        result = self._stepper.take(progress.step, fraction, signals)
        interrupted, due, is_news = result.signals
        if is_news:
            self._share_news()
        if result.n_batches:
            self._note_step(result)
        by_steps = self.checkpoint_steps is not None and progress.step % self.checkpoint_steps == 0
        if (by_steps and result.n_batches) or due or interrupted:
            progress.train_seconds = time.monotonic() - started
            recorder.save_recovery(progress)
        self._stop_if(interrupted)
        return next(iter(averages(result.totals, result.counts).values()), math.nan)

    def _note_step(self, result: StepResult) -> None:
        progress = self.progress
        progress.step += 1
        if result.taken:
            progress.n_nonfinite_in_a_row = 0
            progress.add_step(result.totals, result.counts)
        else:
            self._last_batch = None  # it may be the one that spoiled this step, and would spoil another
            if not result.overflowed:
                self._count_nonfinite(result)
        if progress.step % self.log_steps == 0:
            self.recorder.write_step(progress, result)

    def _count_nonfinite(self, result: StepResult) -> None:
        progress = self.progress
        progress.n_nonfinite += 1
        progress.n_nonfinite_in_a_row += 1
        if progress.n_nonfinite_in_a_row >= self.nonfinite_patience:
            raise UserError(
                f"the loss or its gradient was not finite in {progress.n_nonfinite_in_a_row} steps in a row "
                f"(epoch {progress.epoch}, step {progress.step}: {averages(result.totals, result.counts)}, "
                f"gradient norm {result.gradient_norm})",
                do="lower the learning rate, set max_gradient_norm, or use precision: fp32",
            )

    def _evaluate_batch(
        self, batch: Any, stage: Stage
    ) -> tuple[Loss | dict[str, Loss], list[dict[str, Any]]]:
        batch = batch.to(self.device)
        with autocast(self.device, self.eval_dtype):
            predictions = self.compute_forward(batch, stage)
            losses = self.compute_objectives(predictions, batch, stage)
            return losses, self.compute_records(predictions, batch, stage)

    def _end_epoch(self, train: dict[str, float], valid: dict[str, float], valid_seconds: float) -> None:
        progress = self.progress
        name, direction = self.criterion
        arguments.check_metric(name, valid)
        improved, gain = progress.note_criterion(valid[name], direction, self.n_best_checkpoints)
        for schedule in {id(learner.schedule): learner.schedule for learner in self.learners}.values():
            if hasattr(schedule, "end_epoch"):
                schedule.end_epoch(improved, gain)
        progress.finished = progress.is_last_epoch(self._length())
        self.recorder.write_epoch(progress, {"train": train, "valid": valid}, valid_seconds)
        done = progress.epoch
        progress.begin_epoch()
        self.recorder.save_epoch(progress, done)

    def _length(self) -> Length:
        return Length(self.n_epochs, self.n_steps, self.patience)

    def _is_interrupted(self) -> bool:
        """Whether a signal has come to any process; asked by all together."""
        noted = self._interruption.noted
        if self.processes.n_ranks > 1:
            noted = bool(self.processes.sum(torch.tensor(float(noted), device=self.device)))
        return noted

    def _stop_if(self, interrupted: bool) -> None:
        if interrupted:
            self.processes.gather(None)  # nobody ends before the main process has saved
            self.recorder.note("interrupted", step=self.progress.step)
            raise Interrupted(f"stopped and saved at epoch {self.progress.epoch}, step {self.progress.step}")

    def _share_news(self) -> None:
        """What could not be read, from the processes that tried; before a checkpoint counts it."""
        news, self._news = self._news, News()
        for each in self.processes.gather(news):
            for reason, count in each.skipped.items():
                self.progress.skipped[reason] = self.progress.skipped.get(reason, 0) + count
            self.recorder.tell(each.notices)

    def _share(self) -> Share:
        return Share(self.processes.rank, self.processes.n_ranks, max(1, self.progress.batches_per_step))
