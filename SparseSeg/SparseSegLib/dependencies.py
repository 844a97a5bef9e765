"""What the trainer needs beyond Slicer: asked for once, when first needed, never on opening the module."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import subprocess
import tempfile
from importlib import metadata
from pathlib import Path

from sparseseg_trainer.errors import InputError

from .translation import tr as _

TORCH = "2.4.1"  # or later, as MONAI asks for
# MONAI's base package needs NumPy and PyTorch alone. Matplotlib draws the pictures of trainings and reports.
PACKAGES = ["monai>=1.5", "safetensors>=0.4", "psutil>=5.9", "matplotlib>=3.9"]
KEPT = ("torch", "numpy", "scipy", "SimpleITK")  # stay as they are: pip would replace a PyTorch by that of PyPI


def ensureDependencies(*more: str) -> None:
    """Installs what is missing, ``more`` packages too, after asking. Raises InputError if something stays missing."""
    if torchState() == "missing":
        _installTorch()
    checkTorch()
    _installPackages([*PACKAGES, *more])


def checkTorch() -> None:
    """Raises InputError unless PyTorch is there, whole and new enough; asks and installs nothing: for scripts."""
    state = torchState()
    if state == "missing":
        raise InputError(
            "no_torch",
            _("PyTorch is not installed."),
            _("In Slicer, click Propagate or Train in the module SparseSeg, which installs it after asking."),
        )
    if state == "broken":
        raise InputError(
            "torch_broken",
            _("PyTorch is only half installed."),
            _(
                "In the PyTorch Utils module, uninstall PyTorch, restart Slicer and install it again. On Windows, "
                "Slicer's own folder has to have a short path, such as C:\\Slicer: long ones stop the installation."
            ),
        )
    _checkVersion(_version("torch"))


def _checkVersion(version: str) -> None:
    from packaging.version import Version

    if version and Version(version) < Version(TORCH):
        raise InputError(
            "torch_old",
            _("PyTorch {version} is too old: {needed} or later is needed.").format(version=version, needed=TORCH),
            _("In the PyTorch Utils module, uninstall PyTorch, restart Slicer and install it again."),
        )


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
    advice = _("Try again, or install it in the PyTorch Utils module.")
    try:
        logic = PyTorchUtils.PyTorchUtilsLogic()
        torch = logic.installTorch(askConfirmation=True, torchVersionRequirement=f">={TORCH}")
    except Exception as error:  # pip has failed, or what it has installed cannot be imported: the log says more
        logging.exception("SparseSeg could not install PyTorch.")
        raise InputError(
            "no_torch", _("PyTorch could not be installed: {error}.").format(error=error), advice
        ) from error
    if torch is None:  # the user has declined
        raise InputError("no_torch", _("PyTorch was not installed."), advice)


def _installPackages(packages: list[str]) -> None:
    from slicer.packaging import pip_ensure  # the wheel slicer-core has none

    try:
        with tempfile.TemporaryDirectory(prefix="SparseSeg-") as folder:
            constraints = Path(folder) / "constraints.txt"
            found = {name: _version(name) for name in KEPT}
            lines = [f"{name}=={version}\n" for name, version in found.items() if version]
            constraints.write_text("".join(lines), encoding="utf-8")
            pip_ensure(packages, constraints=constraints, requester="SparseSeg")
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


def _version(package: str) -> str:
    """Of a package as it is installed, "" where that is not known."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
