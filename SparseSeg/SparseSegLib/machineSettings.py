"""What belongs to this computer and not to a scene: the device and the folders, kept by Slicer's settings."""

from __future__ import annotations

import qt


def _property(name: str, default: str):
    key = f"SparseSeg/{name}"

    def get(self) -> str:
        return str(qt.QSettings().value(key, default) or default)

    def put(self, value: str) -> None:
        qt.QSettings().setValue(key, str(value))

    return property(get, put)


class MachineSettings:
    """``device``: where the trainer computes ("auto", "cuda", "cpu"). Folders are empty until the user has chosen one.

    ``model``: the path of the one to segment with.
    """

    device = _property("Device", "auto")
    cohortFolder = _property("CohortFolder", "")
    modelFolder = _property("ModelFolder", "")
    model = _property("Model", "")
