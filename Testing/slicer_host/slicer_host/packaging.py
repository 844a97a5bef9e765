"""``slicer.packaging``: what Slicer 5.12 offers to install Python packages; here it checks but never installs."""

from __future__ import annotations

from importlib import metadata

import slicer
from packaging.requirements import Requirement


def load_requirements(path) -> list[Requirement]:
    """The requirements of a file, without comments, blank lines and options."""
    with open(path, encoding="utf-8") as file:
        lines = [line.split(" #")[0].strip() for line in file]
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def pip_check(requirements) -> bool:
    """Whether the requirements are there, by their metadata alone: nothing is imported."""
    several = requirements if isinstance(requirements, (list, tuple)) else [requirements]
    return all(_isInstalled(Requirement(str(requirement))) for requirement in several)


def _isInstalled(requirement: Requirement, extra: str = "") -> bool:
    if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
        return True
    try:
        version = metadata.version(requirement.name)
        needed = metadata.requires(requirement.name) or []
    except metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True) and all(
        _isInstalled(Requirement(text), name) for name in requirement.extras for text in needed if "extra" in text
    )


def pip_ensure(
    requirements,
    constraints=None,
    skip_packages=None,
    prompt_install=True,
    prompt_restart=True,
    requester=None,
    skip_in_testing=True,
    show_progress=True,
):
    """Asks for and installs what is missing.

    Raises:
        RuntimeError: the user declines.
    """
    several = requirements if isinstance(requirements, (list, tuple)) else [requirements]
    missing = [str(requirement) for requirement in several if not pip_check(requirement)]
    if not missing or (skip_in_testing and slicer.app.testingEnabled()):
        return None
    question = f"{requester or 'This module'} needs: {', '.join(missing)}. Install?"
    if prompt_install and not slicer.util.confirmOkCancelDisplay(question):
        raise RuntimeError("Installation was declined by the user.")
    return pip_install(missing, constraints=constraints, skip_packages=skip_packages, requester=requester)


def pip_install(
    requirements,
    constraints=None,
    no_deps_requirements=None,
    skip_packages=None,
    blocking=True,
    show_progress=True,
    requester=None,
    logCallback=None,
    completedCallback=None,
):
    """Installing would change the environment that the tests run in, so tests replace this function.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError(f"The host installs nothing: {requirements}")


def isPipInstallInProgress() -> bool:
    return False
