"""The settings of a training: presets, and values that are refused."""

from __future__ import annotations

import pytest
from phantoms import refusal

from sparseseg_trainer.network_shape import LIMITS as NETWORK_LIMITS
from sparseseg_trainer.training.augmentation import Augmentation
from sparseseg_trainer.training.limits import AUGMENTATION_LIMITS, CONSISTENCY_LIMITS, LIMITS
from sparseseg_trainer.training.presets import PRESETS
from sparseseg_trainer.training.resolving import resolve
from sparseseg_trainer.training.settings import Consistency, TrainSettings


def test_the_preset_paper_has_the_papers_constants():
    paper = resolve(TrainSettings(preset="paper"))
    expected = {"K1": 50, "K2": 100, "alpha_f": 3, "beta": 0.5, "gamma_certain": 1, "gamma_uncertain": 0.1}
    expected |= {"learning_rate": 1e-4, "halve_every": 30, "batch": 4, "epochs": 100, "absence": False}
    expected |= {"registration_batch": 32, "registration_learning_rate": 0.01, "fusion": "consistency"}
    assert {name: getattr(paper, name) for name in expected} == expected
    assert paper.augmentation == Augmentation(rotation=20, flip=True)
    expected = {"supervised": 0.5, "labelled": 0.5, "weight": 0.1, "decay": 0.99, "noise": 0.1, "noise_limit": 0.2}
    expected |= {"passes": 8, "certain_from": 0.75, "certain_to": 1, "ambiguous_from": 0.75, "ambiguous_to": 0.95}
    expected |= {"mixing": 0.2, "ramp": 1, "apart": False}
    expected |= {"agreement": 0.5, "diversity": 0.05, "diversity_start": 0.17, "agreement_ramp": 0.42, "attack": 0.03}
    assert {name: getattr(paper.consistency, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("hybrid_crop", {"teacher": 0.01, "second_share": 0.5, "teacher_of": "weights", "pseudo_ramp": 0.4}),
        ("partial", {"patch": (48, 128, 128), "patience": 10, "second_step": 1, "restart": 60}),
        ("representative", {"patch": (64, 128, 128), "side": 0.33, "nearest_from": 0.5, "planes_epochs": 1}),
        ("sassnet", {"distance": 0.3, "adversarial": 0.01, "rival_rate": 1e-4}),
        ("dtc", {"distance": 0.3, "dual_task": 1, "steepness": 1500}),
        ("mc_net", {"mutual": 1, "temperature": 0.1, "decoders": 2}),
        ("ss_net", {"smoothness": 1, "separation": 0.1, "radius": 0.01, "prototypes": 32}),
    ],
)
def test_the_preset_paper_has_the_published_constants_of_the_methods_for_volumes(method, expected):
    how = resolve(TrainSettings(method, "paper")).volumetric
    assert {name: getattr(how, name) for name in expected} == expected


def test_the_preset_paper_has_the_optimizer_of_each_paper_on_volumes():
    partial, representative = (resolve(TrainSettings(method, "paper")) for method in ("partial", "representative"))
    expected = {"optimizer": "adam", "learning_rate": 5e-4, "weight_decay": 0, "momentum": 0.9}
    for settings in (partial, representative):
        assert {name: getattr(settings, name) for name in expected} == expected
    assert (partial.batch, partial.absence, partial.baseline_epochs * partial.steps) == (8, True, 180 * 40)
    assert representative.schedule == "poly"
    assert representative.epochs * representative.steps == representative.baseline_epochs * 50 == 15000


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_has_a_value_for_every_setting(preset):
    resolved = resolve(TrainSettings(preset=preset))
    assert len(resolved.known()) == len(vars(resolved))


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": 0},
        {"K1": 9, "K2": 3},
        {"width": 100000},
        {"stride": 3},
        {"halve_every": 0},
        {"averaging": 1.0},
        {"registration_batch": 0},
        {"absence_share": -0.1},
        {"drawn_share": 1.5},
        {"steps": -1},
        {"pixels": -1},
        {"smoothing": -1.0},
        {"learning_rate": float("nan")},
        {"augmentation": Augmentation(noise=-1.0)},
        {"consistency": Consistency(passes=0)},
    ],
)
def test_impossible_settings_are_refused(wrong):
    assert refusal(lambda: resolve(TrainSettings(**wrong))).code == "bad_setting"


def test_every_number_has_limits():
    def numbers(settings):
        return {name for name, value in vars(settings).items() if type(value) in (int, float)}

    settings = resolve(TrainSettings())
    assert numbers(settings) - {"seed"} == LIMITS.keys() | NETWORK_LIMITS.keys() - {"classes"} | {"stride"}
    assert numbers(settings.augmentation) == AUGMENTATION_LIMITS.keys()
    assert numbers(settings.consistency) == CONSISTENCY_LIMITS.keys()
