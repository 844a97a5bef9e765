"""What the trainer needs beyond Slicer: asked for once, when first needed, never on opening the module."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from sparseseg_trainer.errors import InputError

TORCH = ">=2.1"
# MONAI's base package needs NumPy and PyTorch alone; what Slicer bundles is left as it is.
# Matplotlib draws the pictures of trainings and reports.
PACKAGES = ["monai>=1.5", "safetensors>=0.4", "matplotlib>=3.9"]


def ensureDependencies(*more: str) -> None:
    """Installs what is missing, ``more`` packages too, after asking. Raises InputError if something stays missing."""
    if torchState() == "missing":
        _installTorch()
    if torchState() == "broken":
        raise InputError(
            "torch_broken",
            _("PyTorch is only half installed."),
            _(
                "In the PyTorch Utils module, uninstall PyTorch, restart Slicer and install it again. On Windows, "
                "Slicer's own folder has to have a short path, such as C:\\Slicer: long ones stop the installation."
            ),
        )
    _installPackages([*PACKAGES, *more])


def torchState() -> str:
    """ "missing", "broken" (an installation that was interrupted) or "installed"; does not import PyTorch.

    A half-installed PyTorch still has its metadata and even imports, as an empty namespace.
    """
    importlib.invalidate_caches()
    torch = importlib.util.find_spec("torch")
    if torch is None:
        return "missing"
    if torch.origin is None or importlib.util.find_spec("torchgen") is None:
        return "broken"
    folder = Path(torch.origin).parent
    whole = (folder / "version.py").is_file() and any(folder.glob("_C.*")) and any((folder / "lib").glob("*torch*"))
    return "installed" if whole else "broken"


def _installTorch() -> None:
    try:
        import PyTorchUtils
    except ImportError as error:
        raise InputError(
            "no_pytorch_extension",
            _("PyTorch is not installed, and neither is the extension that installs it."),
            _("Install the extension PyTorch (Extensions Manager), restart Slicer, and try again."),
        ) from error
    if PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=True, torchVersionRequirement=TORCH) is None:
        raise InputError(
            "no_torch",
            _("PyTorch was not installed."),
            _("Try again, or install it in the PyTorch Utils module."),
        )


def _installPackages(packages: list[str]) -> None:
    try:
        slicer.packaging.pip_ensure(packages, requester="SparseSeg")
    except RuntimeError as error:  # the user has declined
        raise InputError(
            "no_packages",
            _("The Python packages {names} are not installed.").format(names=", ".join(packages)),
            _("Try again and agree to the installation."),
        ) from error
    except subprocess.CalledProcessError as error:
        raise InputError(
            "no_packages",
            _("The Python packages {names} could not be installed.").format(names=", ".join(packages)),
            _("Check the internet connection; the documentation says how to install without one."),
        ) from error
