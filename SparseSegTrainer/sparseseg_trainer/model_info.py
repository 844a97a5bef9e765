"""``model.json``, read from a model folder or a ``.sparseseg`` file: what a model is for; needs no torch."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from .cohort_grid import BRIGHTNESS
from .errors import InputError
from .files import whole_file
from .labels import Label
from .network_shape import NetworkShape
from .settings import from_dict

# Earlier versions do not know models that see a part of a slice (3) or have networks of cuts (2); of others it is 1
SCHEMA = 3
SUFFIX = ".sparseseg"
# Bytes, so that no zip can fill the memory.
LARGEST = {"model.json": 16 << 20, "README.md": 1 << 20, "weights.safetensors": 2 << 30}
# What is given to others beside model.json: no picture of patients' slices (check.png), and no labels of them
FILES = ("weights.safetensors", "training.csv", "training.png", "README.md")


@dataclass(frozen=True)
class ModelInfo:
    """``model.json``: how to use the network, and how it came to be."""

    network: NetworkShape
    labels: tuple[Label, ...]
    spacing: tuple[float, float]  # mm (row, column) of the slices that the network sees
    # Side in mm (of a square of the same area) that every slice is taken to have, whatever its file says
    field_of_view: float | None = None
    # Rows and columns around a slice's center that are looked at; None: all
    region: tuple[int | None, int | None] | None = None
    axis: int | None = None  # slice axis of volumes, None: that of largest spacing
    brightness: float = BRIGHTNESS  # mean of intensities, after percentiles 0.5 and 99.5 became 0 and 1
    flips: bool = False  # average over mirrored slices
    largest_component: bool = True
    fill_holes: bool = False
    smoothing: float = 0.0  # mm along slices
    training: dict = field(default_factory=dict)  # method, settings, cases, duration
    figures: dict = field(default_factory=dict)  # what was measured at the end of the training


def read_info(path: Path) -> ModelInfo:
    """What ``model.json`` says. Raises InputError ("no_model", "not_a_model", "model_too_new")."""
    path = Path(path)
    return _info(path, read_file(path, "model.json"))


def pack_files(folder: Path, file: Path) -> None:
    """Zip a model folder as ``file``, without what only its owner may see.

    Raises InputError ("no_model", "not_a_model", "no_space", ...).
    """
    folder = Path(folder)
    read_info(folder)
    read_file(folder, "weights.safetensors")
    with whole_file(Path(file)) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.json", _without_names(read_file(folder, "model.json")))
        for name in FILES:
            if (folder / name).is_file():
                archive.write(folder / name, name)


def _without_names(content: bytes) -> bytes:
    """``model.json`` without the names of the cases learned from, which may be those of patients."""
    values = json.loads(content)
    values.get("training", {}).pop("cases", None)
    values.get("figures", {}).pop("validation", None)
    return json.dumps(values, indent=2, ensure_ascii=False).encode()


def read_file(path: Path, name: str) -> bytes:
    """One file of the model, from the folder or the zip: no path in a zip is ever used.

    Raises InputError ("no_model", "not_a_model").
    """
    try:
        if path.is_dir():
            return (path / name).read_bytes()
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(name).file_size > LARGEST[name]:
                raise not_a_model(path, f"{name} in it is too large")
            return archive.read(name)
    except FileNotFoundError as error:
        what = f"it has no {name}" if path.is_dir() else "it does not exist"
        raise InputError(
            "no_model", f"There is no model at {path}: {what}.", "Choose a model folder or a .sparseseg file."
        ) from error
    except (zipfile.BadZipFile, zlib.error, KeyError, OSError, RuntimeError, NotImplementedError, EOFError) as error:
        raise not_a_model(path, f"{name} cannot be read from it") from error


def _info(path: Path, content: bytes) -> ModelInfo:
    try:
        values = json.loads(content)
        schema, kind = values.pop("schema"), values.pop("kind")
        if isinstance(schema, int) and schema > SCHEMA:
            raise InputError(
                "model_too_new",
                f"The model {path} was made by a newer version of SparseSeg (schema {schema}; known is {SCHEMA}).",
                "Update SparseSeg.",
            )
        if schema not in range(1, SCHEMA + 1) or kind != "segmentation":
            raise not_a_model(path, "it is of another kind")
        info = from_dict(ModelInfo, values)
        info.network.check()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise not_a_model(path, f"model.json is not as it should be ({error})") from error
    except InputError as error:
        if error.code in ("model_too_new", "not_a_model"):
            raise
        raise not_a_model(path, error.message.rstrip(".")) from error
    _check_sense(path, info)
    return info


def _check_sense(path: Path, info: ModelInfo) -> None:
    values = [label.value for label in info.labels]
    rules = {
        "labels": len(set(values)) == len(values) == info.network.classes and all(0 < v < 65536 for v in values),
        "spacing": all(0.001 < side < 1000 for side in info.spacing),
        "field_of_view": info.field_of_view is None or 0.001 < info.field_of_view < 100_000,
        "region": info.region is None or all(side is None or 0 < side < 100_000 for side in info.region),
        "axis": info.axis in (None, 0, 1, 2),
        "brightness": 0 < info.brightness < 1,
        "smoothing": 0 <= info.smoothing <= 1000,
    }
    for name, kept in rules.items():
        if not kept:
            raise not_a_model(path, f"the entry '{name}' of model.json cannot be right")


def not_a_model(path: Path, reason: str) -> InputError:
    """The error to raise for a file or folder that holds no model of ours."""
    return InputError(
        "not_a_model", f"{path} is not a usable SparseSeg model: {reason}.", "Choose another file, or train again."
    )
