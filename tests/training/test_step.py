"""A step: groups of batches, clipping, several optimizers; against autograd and torch's own."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.training import Brain, Loss, Stage
from speechkit.training.step import Stepper, build_learners

from .toy import Regression, ToyBatch, ToyData, adam, net, regression, same_bits, sgd, weights_of


def one_stepper(model: nn.Module, optimizer: Any = None, **settings: Any) -> Stepper:
    modules = nn.ModuleDict({"net": model})
    return Stepper(modules, build_learners(modules, optimizer or sgd(), None), **settings)


def squares(model: nn.Module, batch: ToyBatch, count: float | None = None) -> Loss:
    return Loss((model(batch.x) - batch.y).square().sum(), len(batch) if count is None else count)


def joined(batches: list[ToyBatch]) -> ToyBatch:
    return ToyBatch(torch.cat([each.x for each in batches]), torch.cat([each.y for each in batches]))


def toy_batches(*sizes: int) -> list[ToyBatch]:
    return list(ToyData(sizes).iterate(seed=0, epoch=1))


class TestGroups:
    @pytest.mark.parametrize("sizes", [(4, 4, 4), (7, 1, 3), (5,)])
    @pytest.mark.parametrize("max_norm", [None, 0.5])
    def test_a_group_is_one_large_batch(self, sizes: tuple[int, ...], max_norm: float | None) -> None:
        model, twin, batches = net(), net(), toy_batches(*sizes)
        grouped = one_stepper(model, max_gradient_norm=max_norm)
        large = one_stepper(twin, max_gradient_norm=max_norm)
        for batch in batches:
            grouped.add(squares(model, batch))
        large.add(squares(twin, joined(batches)))
        first, second = grouped.take(0, 0.0), large.take(0, 0.0)
        assert first.gradient_norm == pytest.approx(second.gradient_norm, rel=1e-12)
        for weight, expected in zip(model.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(weight, expected, rtol=1e-12, atol=1e-12)

    def test_the_count_that_is_given_weighs_not_the_number_of_rows(self) -> None:
        """Losses summed over frames are averaged over frames."""
        model, twin = net(), net()
        batches, counts = toy_batches(2, 3), (40.0, 7.0)
        stepper = one_stepper(model, sgd(0.1))
        for batch, count in zip(batches, counts, strict=True):
            stepper.add(squares(model, batch, count))
        result = stepper.take(0, 0.0)
        total = sum(squares(twin, batch).total for batch in batches)
        by_hand = torch.autograd.grad(total / 47.0, list(twin.parameters()))
        for weight, before, gradient in zip(model.parameters(), twin.parameters(), by_hand, strict=True):
            torch.testing.assert_close(weight, before - 0.1 * gradient, rtol=1e-12, atol=1e-12)
        assert result.counts == {"": 47.0}
        assert result.totals[""] == pytest.approx(total.item(), rel=1e-6)

    def test_the_loop_steps_on_an_incomplete_last_group(self, tmp_path: Path) -> None:
        """Seven batches in groups of three: two whole groups and one of one batch, each an average."""
        data, model = ToyData((3, 5, 2, 4, 6, 1, 3)), net()
        brain = regression(tmp_path, train_data=data, batches_per_step=3, n_epochs=1, optimizer=sgd(0.05))
        batches = list(data.iterate(0, 1))
        for group in (batches[:3], batches[3:6], batches[6:]):
            loss = (model(joined(group).x) - joined(group).y).square().mean()
            for weight, gradient in zip(
                model.parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True
            ):
                weight.data -= 0.05 * gradient
        brain.fit()
        assert brain.progress.step == 3
        for weight, expected in zip(brain.modules.parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(weight, expected, rtol=1e-12, atol=1e-12)

    def test_a_batch_of_which_nothing_could_be_read_leaves_the_groups_as_they_are(
        self, tmp_path: Path
    ) -> None:
        def emptied(epoch: int, number: int, batch: ToyBatch) -> ToyBatch:
            return ToyBatch(batch.x[:0], batch.y[:0]) if number == 1 else batch

        brain = regression(tmp_path, train_data=ToyData((3, 5, 2, 4), change=emptied), batches_per_step=3)
        brain.n_epochs = 1
        brain.fit()
        assert brain.progress.step == 2  # the first of batches 0 to 2, the second of batch 3
        assert all(weight.isfinite().all() for weight in brain.modules.parameters())

    def test_a_group_of_which_nothing_could_be_read_is_no_step(self, tmp_path: Path) -> None:
        def emptied(epoch: int, number: int, batch: ToyBatch) -> ToyBatch:
            return ToyBatch(batch.x[:0], batch.y[:0]) if number == 1 else batch

        brain = regression(tmp_path, train_data=ToyData((3, 5, 2), change=emptied), n_epochs=1)
        brain.fit()
        assert (brain.progress.step, brain.progress.n_nonfinite_in_a_row) == (2, 0)

    def test_gradients_do_not_leak_into_the_next_step(self) -> None:
        model, twin = net(), net()
        first, second = toy_batches(4, 4)
        stepper, fresh = one_stepper(model, sgd(0.0)), one_stepper(twin, sgd(0.0))
        stepper.add(squares(model, first))
        stepper.take(0, 0.0)
        stepper.add(squares(model, second))
        fresh.add(squares(twin, second))
        assert stepper.take(1, 0.0) == fresh.take(0, 0.0)


class TestClipping:
    @pytest.mark.parametrize("share", [1e-3, 0.5, 0.95, 1.05, 1e6])
    def test_as_torch_clips_the_averaged_gradient(self, share: float) -> None:
        """With the limit below, just below, just above and far above the norm."""
        model, twin, batches = net(), net(), toy_batches(3, 6)
        mean = sum(squares(twin, batch).total for batch in batches) / 9
        gradients = torch.autograd.grad(mean, list(twin.parameters()))
        max_norm = share * torch.cat([gradient.flatten() for gradient in gradients]).norm().item()
        stepper = one_stepper(model, sgd(1.0), max_gradient_norm=max_norm)
        for batch in batches:
            stepper.add(squares(model, batch))
        result = stepper.take(0, 0.0)
        (sum(squares(twin, batch).total for batch in batches) / 9).backward()
        norm = nn.utils.clip_grad_norm_(twin.parameters(), max_norm)
        torch.optim.SGD(twin.parameters(), lr=1.0).step()
        assert result.gradient_norm == pytest.approx(norm.item(), rel=1e-12)
        for weight, expected in zip(model.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(weight, expected, rtol=1e-9, atol=1e-12)

    def test_over_all_optimizers_as_one_vector(self) -> None:
        modules = nn.ModuleDict({"a": nn.Linear(4, 1).double(), "b": nn.Linear(4, 1).double()})
        twin = [weight.detach().clone().requires_grad_() for weight in modules.parameters()]
        parts = {name: {"modules": [name], "optimizer": sgd(1.0)} for name in "ab"}
        stepper = Stepper(modules, build_learners(modules, parts, None), max_gradient_norm=0.3)
        (batch,) = toy_batches(5)
        stepper.add(Loss((modules["a"](batch.x) + modules["b"](batch.x) - batch.y).square().sum(), 5))
        stepper.take(0, 0.0)
        (batch.x @ twin[0].T + twin[1] + batch.x @ twin[2].T + twin[3] - batch.y).square().mean().backward()
        nn.utils.clip_grad_norm_(twin, 0.3)
        for weight, before in zip(modules.parameters(), twin, strict=True):
            torch.testing.assert_close(weight.data, before.data - before.grad, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("value", [0, -1.0, math.nan])
    def test_no_positive_number_is_a_mistake(self, value: float, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="null for no clipping") as caught:
            regression(tmp_path, max_gradient_norm=value)
        assert caught.value.key == "max_gradient_norm"


class Adversarial(Brain):
    """A generator that wants the critic's score high, a critic that wants it low on what is generated."""

    def compute_forward(self, batch: ToyBatch, stage: Stage) -> tuple[Tensor, Tensor]:
        fake = self.modules["generator"](batch.x)
        return self.modules["critic"](fake), self.modules["critic"](batch.x)

    def compute_objectives(self, predictions: Any, batch: ToyBatch, stage: Stage) -> dict[str, Loss]:
        fake, real = predictions
        return {
            "generator": Loss((1 - fake).square().sum(), len(batch)),
            "critic": Loss((fake.square() + (1 - real).square()).sum(), 2 * len(batch)),
        }


def adversarial(folder: Path, **changed: Any) -> Adversarial:
    torch.default_generator.manual_seed(3)
    modules = {"generator": nn.Linear(4, 4).double(), "critic": nn.Linear(4, 1).double()}
    usual = {
        "modules": modules,
        "optimizer": {name: {"modules": [name], "optimizer": sgd(0.1)} for name in modules},
        "train_data": ToyData((3, 5)),
        "valid_data": ToyData((4,)),
        "output_folder": folder,
        "n_epochs": 1,
        "device": "cpu",
        "log_steps": 1,
    }
    brain = Adversarial(**{**usual, **changed})
    brain.criterion = ("loss_critic", "min")
    return brain


class TestSeveralOptimizers:
    def test_each_name_is_trained_by_its_own_loss(self, tmp_path: Path) -> None:
        """Against gradients by hand: one forward pass, both taken before either steps."""
        brain = adversarial(tmp_path, batches_per_step=2)
        modules = {
            name: [w.detach().clone() for w in brain.modules[name].parameters()] for name in brain.modules
        }
        generator, critic = ([w.requires_grad_() for w in modules[name]] for name in ("generator", "critic"))
        x = joined(list(brain.train_data.iterate(0, 1))).x
        fake = (x @ generator[0].T + generator[1]) @ critic[0].T + critic[1]
        real = x @ critic[0].T + critic[1]
        of_generator = torch.autograd.grad((1 - fake).square().mean(), generator, retain_graph=True)
        of_critic = torch.autograd.grad((fake.square().mean() + (1 - real).square().mean()) / 2, critic)
        brain.fit()
        expected = [w - 0.1 * g for w, g in zip(generator + critic, of_generator + of_critic, strict=True)]
        for weight, by_hand in zip(brain.modules.parameters(), expected, strict=True):
            torch.testing.assert_close(weight, by_hand, rtol=1e-12, atol=1e-12)

    def test_each_has_its_schedule_and_the_log_names_them(self, tmp_path: Path) -> None:
        from speechkit.training import WarmupDecay

        brain = adversarial(tmp_path, schedule={"critic": WarmupDecay(n_warmup_steps=4)})
        brain.fit()
        rates = {learner.name: learner.learning_rate for learner in brain.learners}
        assert rates == {"generator": 0.1, "critic": pytest.approx(0.1 * 2 / 4)}

    def test_a_single_loss_trains_all(self, tmp_path: Path) -> None:
        modules = {"first": nn.Linear(4, 4).double(), "second": nn.Linear(4, 1).double()}
        twin = nn.Sequential(modules["first"], modules["second"])
        twin.load_state_dict(state := {k: v.clone() for k, v in twin.state_dict().items()})
        parts = {"slow": {"modules": ["first"], "optimizer": sgd(0.01)}}
        parts["fast"] = {"modules": ["second"], "optimizer": sgd(0.1)}
        stacked = nn.ModuleDict(modules)
        stepper = Stepper(stacked, build_learners(stacked, parts, None))
        (batch,) = toy_batches(6)
        stepper.add(squares(twin, batch))
        gradients = [weight.grad.clone() / 6 for weight in twin.parameters()]
        stepper.take(0, 0.0)
        for (name, before), gradient in zip(state.items(), gradients, strict=True):
            rate = 0.01 if name.startswith("0") else 0.1
            torch.testing.assert_close(twin.state_dict()[name], before - rate * gradient)

    def test_a_loss_that_reaches_none_of_its_weights_leaves_them(self, tmp_path: Path) -> None:
        class Beginning(Adversarial):
            """The generator's loss does not depend on it yet."""

            def compute_objectives(self, predictions: Any, batch: ToyBatch, stage: Stage) -> dict[str, Loss]:
                losses = super().compute_objectives(predictions, batch, stage)
                return losses | {"generator": Loss(self.modules["critic"](batch.x).sum(), len(batch))}

        brain = adversarial(tmp_path)
        brain.__class__ = Beginning
        before = weights_of(brain)
        brain.fit()
        after = weights_of(brain)
        assert same_bits(before["generator.weight"], after["generator.weight"])
        assert not same_bits(before["critic.weight"], after["critic.weight"])

    @pytest.mark.parametrize(
        ("optimizer", "message"),
        [
            ({"a": {"modules": ["one"], "optimizer": sgd()}}, "weight two.weight is trained by none"),
            (
                {name: {"modules": ["one", "two"], "optimizer": sgd()} for name in "ab"},
                r"trained by \['a', 'b'\]",
            ),
            ({"a": {"modules": ["one", "tow"], "optimizer": sgd()}}, "no module 'tow'"),
            ({"a": {"modules": ["one"]}}, "keys modules, optimizer"),
            ({}, "trained by none"),
            ({"a": {"modules": ["one", "two"], "optimizer": "Adam"}}, "write !name:torch.optim"),
            ({"a": {"modules": [], "optimizer": sgd()}}, "no weights to train"),
            ("Adam", "write !name:torch.optim"),
        ],
    )
    def test_what_is_not_one_optimizer_for_each_weight_is_named(self, optimizer: Any, message: str) -> None:
        modules = nn.ModuleDict({"one": nn.Linear(1, 1), "two": nn.Linear(1, 1)})
        with pytest.raises(UserError, match=message):
            build_learners(modules, optimizer, None)

    @pytest.mark.parametrize("optimizer", [adam(), {"a": {"modules": ["one"], "optimizer": adam()}}])
    def test_a_schedule_for_nobody_is_named(self, optimizer: Any) -> None:
        with pytest.raises(UserError, match="a schedule for 'mian'") as caught:
            build_learners(nn.ModuleDict({"one": nn.Linear(1, 1)}), optimizer, {"mian": object()})
        assert caught.value.key == "schedule.mian"

    def test_losses_of_other_names_are_named(self) -> None:
        model = net()
        stepper = one_stepper(model)
        (batch,) = toy_batches(3)
        with pytest.raises(UserError, match=r"losses named \['generator'\]"):
            stepper.add({"generator": squares(model, batch)})


def test_frozen_weights_stay(tmp_path: Path) -> None:
    model = net()
    model[0].requires_grad_(False)
    brain = regression(tmp_path, net=model)
    before = weights_of(brain)
    brain.fit()
    after = weights_of(brain)
    assert [name for name in after if not same_bits(before[name], after[name])] == [
        "net.3.weight",
        "net.3.bias",
    ]


def test_weights_outside_modules_are_an_error(tmp_path: Path) -> None:
    brain = regression(tmp_path)
    brain.extra = nn.Linear(2, 2)
    with pytest.raises(UserError, match="extra has weights but is not in modules"):
        brain.fit()


def test_a_loss_without_weights_is_named(tmp_path: Path) -> None:
    class Constant(Regression):
        def compute_objectives(self, predictions: Tensor, batch: ToyBatch, stage: Stage) -> Loss:
            return Loss(torch.ones((), requires_grad=True) * 1.0, len(batch))

    brain = regression(tmp_path)
    brain.__class__ = Constant
    with pytest.raises(UserError, match="no weight got a gradient"):
        brain.fit()


def test_several_optimizers_over_shards_are_refused(tmp_path: Path) -> None:
    optimizer = {"main": {"modules": ["net"], "optimizer": sgd()}}
    with pytest.raises(UserError, match="several optimizers over a sharded model"):
        regression(tmp_path, optimizer=optimizer, parallel="shards")
