"""Models with their network: saved, packed as ``NAME.sparseseg`` and loaded. Nothing in them can execute."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from .files import write_text
from .model_info import SCHEMA, ModelInfo, not_a_model, pack_files, read_file, read_info
from .segmentation_network import build_network
from .tensor_files import save_tensors

__all__ = ["Model", "load_model", "pack_model", "save_model"]


@dataclass
class Model:
    """A network in evaluation mode and what is known about it."""

    network: nn.Module
    info: ModelInfo


def save_model(folder: Path, network: nn.Module, info: ModelInfo, card: str) -> None:
    """Write weights, model card and, last, ``model.json`` into ``folder``. Raises InputError ("no_space", ...)."""
    folder = Path(folder)
    save_tensors(folder / "weights.safetensors", network.state_dict())
    write_text(folder / "README.md", card)
    schema = SCHEMA if info.region else 2 if info.network.orthogonal else 1
    content = {"schema": schema, "kind": "segmentation"} | asdict(info)
    if info.region is None:
        del content["region"]  # which earlier versions do not know
    content["network"] = {name: value for name, value in content["network"].items() if value is not None}
    write_text(folder / "model.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def pack_model(folder: Path, file: Path) -> None:
    """Zip a model folder as ``file``. Raises InputError if the folder holds no usable model."""
    load_model(folder)
    pack_files(folder, file)


def load_model(path: Path) -> Model:
    """The model of a folder or a ``.sparseseg`` file, on the CPU.

    Raises InputError ("no_model", "not_a_model", "model_too_new"). From a zip only the two known files are read, into
    memory: no path in it is ever used.
    """
    path = Path(path)
    info, weights = read_info(path), read_file(path, "weights.safetensors")
    network = build_network(info.network)
    try:
        network.load_state_dict(load(weights))
    except (SafetensorError, RuntimeError, KeyError) as error:
        raise not_a_model(path, "its weights are damaged or belong to another network") from error
    return Model(network.eval(), info)
