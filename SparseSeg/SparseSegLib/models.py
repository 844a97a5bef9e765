"""Trained models on this computer: folders and .sparseseg files, what their cards say, import and export."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from sparseseg_trainer.errors import InputError
from sparseseg_trainer.files import whole_file
from sparseseg_trainer.model_info import SUFFIX, ModelInfo, pack_files, read_file, read_info

from .translation import tr as _


@dataclass(frozen=True)
class StoredModel:
    """A model that can be used: its folder or file, and what is known about it."""

    path: Path
    info: ModelInfo

    @property
    def name(self) -> str:
        """What the user calls it."""
        return self.path.name.removesuffix(SUFFIX)


def modelsFolder(chosen: str) -> Path:
    """The folder of all models: as chosen in the settings, or else SparseSeg/models in the user's own folder."""
    return Path(chosen) if chosen else Path.home() / "SparseSeg" / "models"


def listModels(folder: Path) -> list[StoredModel]:
    """The usable models of a folder by name; what is not a finished model is passed over."""
    models = []
    for path in sorted(Path(folder).iterdir()) if Path(folder).is_dir() else []:
        if path.suffix == SUFFIX or (path / "model.json").is_file():
            try:
                models.append(StoredModel(path, read_info(path)))
            except InputError:
                continue
    return models


def card(path: Path) -> str:
    """The model's card, in Markdown; empty if it has none. Raises InputError for what is not a model."""
    read_info(path)
    try:
        return read_file(Path(path), "README.md").decode("utf-8", "replace")
    except InputError:
        return ""


def importModel(file: Path, folder: Path) -> Path:
    """Copies a .sparseseg file into the folder of all models. Raises InputError; an existing model stays."""
    file, folder = Path(file), Path(folder)
    read_info(file)
    read_file(file, "weights.safetensors")
    target = folder / f"{file.name.removesuffix(SUFFIX)}{SUFFIX}"
    if target.exists() or target.with_suffix("").exists():
        raise InputError(
            "model_exists",
            _("There is a model '{name}' already.").format(name=target.stem),
            _("Rename the file, then import it."),
        )
    _copy(file, target)
    return target


def exportModel(path: Path, file: Path) -> None:
    """Writes the model as one .sparseseg file, to be given to others. Raises InputError."""
    path, file = Path(path), Path(file)
    if path.is_dir():
        pack_files(path, file)
    elif path.resolve() != file.resolve():
        read_info(path)
        _copy(path, file)


def _copy(source: Path, target: Path) -> None:
    with whole_file(target) as temporary:
        shutil.copyfile(source, temporary)
