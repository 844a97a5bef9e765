"""Model folders and .sparseseg files: what comes back, and what is refused."""

from __future__ import annotations

import json
import pickle
import zipfile
from dataclasses import asdict, replace

import pytest
import torch

from sparseseg_trainer.errors import InputError
from sparseseg_trainer.labels import Label
from sparseseg_trainer.model_info import SCHEMA, ModelInfo
from sparseseg_trainer.models import load_model, pack_model, save_model
from sparseseg_trainer.network_shape import NetworkShape
from sparseseg_trainer.segmentation_network import SegmentationNetwork

SHAPE = NetworkShape(context=1, classes=2, width=4, depth=2, stride=2)
LABELS = (Label(1, "atrium", (1.0, 0.0, 0.0)), Label(5, "wall", (0.0, 1.0, 0.0), "SCT^85756007^Tissue"))


@pytest.fixture
def model(tmp_path):
    info = ModelInfo(SHAPE, LABELS, (1.1, 1.2), smoothing=1.5, training={"cases": ["a"]}, figures={"dice": 0.5})
    save_model(tmp_path / "model", SegmentationNetwork(SHAPE), info, "# A model\n")
    return tmp_path / "model"


def edit(model, **changes):
    path = model / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_model_comes_back_as_it_was_saved(model):
    loaded = load_model(model)
    assert loaded.info.labels == LABELS
    assert loaded.info.spacing == (1.1, 1.2)
    assert loaded.info.training == {"cases": ["a"]}
    assert not loaded.network.training
    assert loaded.network(torch.zeros(1, 3, 32, 48)).shape == (1, 3, 32, 48)


def test_a_packed_model_gives_the_same_prediction(model, tmp_path):
    pack_model(model, tmp_path / "one.sparseseg")
    image = torch.rand(1, 3, 32, 32)
    packed, folder = load_model(tmp_path / "one.sparseseg"), load_model(model)
    assert torch.equal(packed.network(image), folder.network(image))
    assert replace(packed.info, training=folder.info.training) == folder.info


def test_a_packed_model_holds_no_picture_and_no_name_of_a_case(model, tmp_path):
    (model / "check.png").write_bytes(b"slices of patients")
    edit(model, training={"cases": ["Miller"], "seconds": 3}, figures={"validation": {"Smith": 0.8}, "dice": 0.8})
    pack_model(model, tmp_path / "one.sparseseg")
    with zipfile.ZipFile(tmp_path / "one.sparseseg") as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    assert content.keys() == {"model.json", "weights.safetensors", "README.md"}
    assert not any(name in part for part in content.values() for name in (b"Miller", b"Smith"))
    info = load_model(tmp_path / "one.sparseseg").info
    assert (info.training, info.figures) == ({"seconds": 3}, {"dice": 0.8})


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_a_packed_model_that_was_damaged_on_its_way_is_refused(model, tmp_path, name):
    path = tmp_path / "one.sparseseg"
    pack_model(model, path)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo(name).header_offset + 100
    content = bytearray(path.read_bytes())
    content[start : start + 60] = bytes(60)
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a usable"):
        load_model(path)


def test_paths_in_a_packed_model_are_never_used(model, tmp_path):
    pack_model(model, tmp_path / "one.sparseseg")
    with zipfile.ZipFile(tmp_path / "one.sparseseg", "a") as archive:
        archive.writestr("../../escaped.txt", "out of the folder")
    load_model(tmp_path / "one.sparseseg")
    assert not list(tmp_path.parent.glob("**/escaped.txt"))


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(InputError, match="does not exist") as caught:
        load_model(tmp_path / "nowhere")
    assert caught.value.code == "no_model"


def test_a_folder_without_weights_is_no_model(model):
    (model / "weights.safetensors").unlink()
    with pytest.raises(InputError, match=r"no weights\.safetensors"):
        load_model(model)


def test_a_newer_model_asks_for_an_update(model):
    edit(model, schema=SCHEMA + 1)
    with pytest.raises(InputError, match="newer version") as caught:
        load_model(model)
    assert caught.value.code == "model_too_new"


def test_a_pickle_is_refused_without_being_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    (tmp_path / "trap.sparseseg").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match="not a usable"):
        load_model(tmp_path / "trap.sparseseg")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("keep", [0, 7, 300, -20])
def test_cut_weights_are_refused(model, keep):
    path = model / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="damaged"):
        load_model(model)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "registration"},
        {"schema": "one"},
        {"labels": [{"value": 1}]},
        {"labels": [{"value": 1, "name": "x", "color": [1, 0, 0]}]},
        {"spacing": [1.0]},
        {"spacing": [0.0, 1.0]},
        {"labels": [asdict(LABELS[0]), asdict(LABELS[0])]},
        {"labels": [asdict(LABELS[0]), asdict(LABELS[1]) | {"value": 0}]},
        {"labels": [asdict(LABELS[0]), asdict(LABELS[1]) | {"value": 65536}]},
        {"axis": 3},
        {"axis": -1},
        {"brightness": 0.0},
        {"smoothing": -1.0},
        {"region": [0, None]},
        {"region": [48]},
        {"network": asdict(SHAPE) | {"stride": 3}},
        {"training": 3},
        {"unknown": 1},
        {"network": {"context": 0, "classes": 2, "width": 100000, "depth": 4, "stride": 1}},
        {"network": {"context": 0, "classes": 2, "width": 4, "depth": 2, "stride": 2}},
        {"network": {"module": "os"}},
    ],
)
def test_a_description_that_does_not_fit_is_refused(model, changes):
    edit(model, **changes)
    with pytest.raises(InputError) as caught:
        load_model(model)
    assert caught.value.code == "not_a_model"


DEEP, HUGE = '{"schema": ' + 100_000 * "[", '{"schema": 3, "kind": "segmentation", "brightness": 1' + 400 * "0" + "}"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', "\xff", DEEP, HUGE])
def test_a_damaged_description_is_refused(model, text):
    (model / "model.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="not a usable"):
        load_model(model)


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("size", [(32, 32), (32, 160), (48, 80)])
def test_small_slices_train_in_batches_of_one(stride, size):
    network = SegmentationNetwork(NetworkShape(context=0, classes=1, width=4, depth=4, stride=stride))
    assert network.train()(torch.rand(1, 1, *size)).shape == (1, 2, *size)
