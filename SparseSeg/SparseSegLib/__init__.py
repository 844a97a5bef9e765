"""SparseSeg's Slicer side: from scene to job folder, and from result files back to the scene."""

import importlib.util
import sys
from pathlib import Path

# Installed, the trainer lies beside this package; in the source tree it has a folder of its own.
if importlib.util.find_spec("sparseseg_trainer") is None:
    sys.path.append(str(Path(__file__).resolve().parents[2] / "SparseSegTrainer"))

from sparseseg_trainer.errors import Cancelled, InputError

__all__ = ["Cancelled", "InputError"]
