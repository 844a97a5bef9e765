"""Tensors in safetensors files, which cannot execute anything, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from .files import cannot_write, whole_file


def save_tensors(path: Path, tensors: dict[str, Tensor], notes: dict[str, str] | None = None) -> None:
    """Write ``tensors`` by name, with ``notes`` as metadata. Raises InputError ("no_space", "cannot_write")."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with whole_file(path) as temporary:
        try:
            save_file(contiguous, temporary, notes)
        except SafetensorError as error:  # also where the system refuses
            raise cannot_write(path, str(error)) from error
