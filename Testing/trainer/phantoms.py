"""Small made-up volumes and cases, and how refusals and warnings are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from sparseseg_trainer.cohort import Case, Cohort, read_cohort, write_cohort
from sparseseg_trainer.errors import Cancelled, InputError
from sparseseg_trainer.labels import Label
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.sparsify import sparsify
from sparseseg_trainer.volumes import Geometry, write_image, write_label

SHAPE = (14, 32, 28)
GEOMETRY = Geometry((28, 32, 14), (0.9, 0.9, 3.0), (-12.0, 5.5, 40.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
CUBE = Geometry((2, 3, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), GEOMETRY.direction)  # 2 x 3 x 4 mm


def short_of_memory(monkeypatch, module, name: str, most: int, error: Exception | None = None) -> list[int]:
    """Lets the function ``name`` of ``module`` run out of memory where its first tensor has more than ``most`` items.

    Returns the numbers of items that it is called with, as they come.
    """
    original, sizes = getattr(module, name), []

    def short(*arguments):
        sizes.append(next(len(value) for value in arguments if isinstance(value, torch.Tensor)))
        if sizes[-1] > most:
            raise error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 bytes.")
        return original(*arguments)

    monkeypatch.setattr(module, name, short)
    return sizes


# A training of seconds whose model has every network beside that of slices.
TINY_VIEWS = {"preset": "fast", "device": "cpu", "width": 4, "batch": 4, "steps": 2, "epochs": 2, "semi_epochs": 2}
TINY_VIEWS |= {"K1": 1, "K2": 2, "baseline_epochs": 2, "semi_scales": (1.0, 0.75), "orthogonal_epochs": 2}
TINY_VIEWS |= {"overview_epochs": 2, "overview_width": 4, "overview_side": 16}


class Warnings(Reporter):
    """Keeps what the user is warned of."""

    def __init__(self):
        self.messages = []

    def warn(self, message):
        self.messages.append(message)


class Stopped(Reporter):
    """As if the user had asked to stop before the start."""

    def check_cancelled(self):
        raise Cancelled


class StoppedAt(Reporter):
    """As if the user had asked to stop when the work on a case begins."""

    def __init__(self, case: str):
        self.case = case

    def progress(self, stage, fraction, message="", seconds_left=None):
        if message == self.case:
            raise Cancelled


def refusal(call, *arguments) -> InputError:
    """The error with which a call refuses its arguments, in whole sentences."""
    with pytest.raises(InputError) as caught:
        call(*arguments)
    error = caught.value
    assert error.message.endswith(".") and error.advice.endswith(".")
    assert "\n" not in error.message
    return error


def ellipsoid_volume(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """An image (14, 32, 28) int16 and its label: a bright leaning ellipsoid, slices 3 to 10, in texture."""
    rng = np.random.default_rng(seed)
    k, j, i = np.meshgrid(*(np.arange(count, dtype=float) for count in SHAPE), indexing="ij")
    middle = np.array([6.5, 16, 14]) + rng.uniform(-1, 1, 3) * (0.3, 2, 2)
    radius = np.array([4.2, 9, 7]) * rng.uniform(0.95, 1.15, 3) * (0.95, 1, 1)
    bend = 0.5 * (k - middle[0])
    inside = ((k - middle[0]) / radius[0]) ** 2 + ((j - middle[1] - bend) / radius[1]) ** 2
    label = (inside + ((i - middle[2]) / radius[2]) ** 2 <= 1).astype(np.uint8)
    texture = gaussian_filter(rng.normal(size=SHAPE), (0.5, 1.5, 1.5))
    image = 300 + 250 * gaussian_filter(label.astype(float), (0.3, 0.7, 0.7)) + 150 * texture
    return (image + rng.normal(0, 12, SHAPE)).astype(np.int16), label


def write_phantoms(folder: Path, count: int, label: Label) -> None:
    """A cohort of so many small volumes with the structure drawn on every slice that it reaches."""
    cases = []
    for number in range(count):
        image, drawn = ellipsoid_volume(number)
        case = Case(f"case{number}", folder / f"images/case{number}.nrrd", folder / f"labels/case{number}.nrrd")
        write_image(case.image, image, GEOMETRY)
        write_label(case.label, drawn, GEOMETRY)
        cases.append(case)
    write_cohort(folder, cases, [label])


def bordered_cohort(folder: Path, factors: Sequence[float], borders: Sequence[int] = (0,)) -> Path:
    """Phantoms whose files say ``factors`` times their spacing, with ``borders`` pixels of noise around them.

    Drawn are the central slices.
    """
    cases, rng = [], np.random.default_rng(0)
    for number, factor in enumerate(factors):
        border = borders[number % len(borders)]
        around = ((0, 0), (border, border), (border, border))
        image, label = (np.pad(array, around) for array in ellipsoid_volume(number))
        image[image == 0] = rng.integers(250, 350, (image == 0).sum())
        along = tuple(reversed(image.shape))
        spacing = (GEOMETRY.spacing[0] * factor, GEOMETRY.spacing[1] * factor, GEOMETRY.spacing[2])
        geometry = replace(GEOMETRY, size=along, spacing=spacing)
        case = Case(f"case{number}", folder / f"dense/i{number}.nrrd", folder / f"dense/l{number}.nrrd")
        write_image(case.image, image, geometry)
        write_label(case.label, label, geometry)
        cases.append(case)
    write_cohort(folder / "dense", cases, [Label(1, "structure", (0.9, 0.6, 0.0))])
    sparsify(folder / "dense", folder / "sparse")
    return folder / "sparse"


def write_series(folder: Path, image: np.ndarray) -> None:
    """Writes an image (k, j, i) as an oblique MR series whose files are not in the order of its slices."""
    import pydicom

    folder.mkdir()
    matrix = Rotation.from_euler("xyz", (20, -35, 70), degrees=True).as_matrix()
    uids = [pydicom.uid.generate_uid() for _ in range(3)]
    for k, pixels in enumerate(np.clip(image, 0, None).astype(np.uint16)):
        dataset = pydicom.Dataset()
        dataset.SOPClassUID = pydicom.uid.MRImageStorage
        dataset.SOPInstanceUID = pydicom.uid.generate_uid()
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = uids
        dataset.Modality, dataset.PatientName, dataset.PatientID = "MR", "Phantom^Ann", "P1"
        dataset.SeriesNumber, dataset.InstanceNumber = 4, k + 1
        dataset.ImagePositionPatient = [round(x, 9) for x in (-12, 5.5, 40) + 3.1 * k * matrix[:, 2]]
        dataset.ImageOrientationPatient = [round(x, 9) for x in matrix[:, :2].T.ravel()]
        dataset.PixelSpacing, dataset.SliceThickness = [0.9, 0.8], 3.1
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation = 15, 0
        dataset.PixelData = pixels.tobytes()
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        dataset.save_as(folder / f"{(5 * k) % len(image):02}.dcm", enforce_file_format=True)


def cohort_of(folder: Path, text: str) -> Cohort:
    """The cohort of a cohort.csv with this text."""
    (folder / "cohort.csv").write_text(text)
    return read_cohort(folder)


def one_case(files: Path, **changes) -> Case:
    """Case Ann of the fixture ``files``, with these fields changed."""
    return replace(Case("Ann", files / "image.nrrd", files / "label.nrrd"), **changes)
