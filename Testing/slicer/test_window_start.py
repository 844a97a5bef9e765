"""Opening the module costs next to nothing; what the trainer needs is asked for when it is first needed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from types import SimpleNamespace

import pytest

slicer = pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from drawing import drawSlice, startDrawing, startPropagation  # noqa: E402
from test_job_client import isAlive  # noqa: E402
from windows import answering, panelOf, phantom, waitFor  # noqa: E402

LIBRARY = ("SparseSeg", "SparseSegLib", "sparseseg_trainer")  # what a reload imports anew

OPEN = """
import compileall, sys, time
sys.path.insert(0, {host!r})
import slicer_host
slicer_host.start()
for folder in {folders!r}:  # as the installation of an extension does
    compileall.compile_dir(folder, quiet=1)
sys.modules["torch"] = sys.modules["monai"] = None  # importing them fails
started = time.process_time()
slicer_host.openModule("SparseSeg")
elapsed = time.process_time() - started
del sys.modules["torch"], sys.modules["monai"]
from SparseSegLib.dependencies import torchState
print("opened", elapsed, torchState(), "torch" in sys.modules)
"""


def test_opening_takes_under_half_a_second_and_works_without_torch():
    root = Path(__file__).resolve().parents[2]
    folders = [str(root / "SparseSeg"), str(root / "SparseSegTrainer")]
    run = subprocess.run(
        [sys.executable, "-c", OPEN.format(host=str(root / "Testing/slicer_host"), folders=folders)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = [line for line in run.stdout.splitlines() if line.startswith("opened")]
    assert lines, run.stderr
    elapsed, torch, imported = lines[0].split()[1:]
    assert float(elapsed) < 0.5
    assert (torch, imported) == ("installed", "False")


@pytest.fixture
def a_window_to_propagate(a_window):
    """The window with one slice drawn."""
    volumeNode, label = phantom("Ann")
    startDrawing(a_window, volumeNode, 7)
    drawSlice(a_window, {"Ellipsoid": label > 0}, 7)
    return a_window


@pytest.fixture
def the_torch_in(monkeypatch):
    """A function that makes PyTorch be looked for in one folder alone, and its extension be absent or given."""

    def inFolder(folder: Path, extension=None) -> None:
        find = importlib.util.find_spec
        names = ("torch", "torchgen")
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *rest: PathFinder.find_spec(name, [str(folder)]) if name in names else find(name, *rest),
        )
        monkeypatch.setitem(sys.modules, "PyTorchUtils", extension)

    return inFolder


def install(folder: Path) -> None:
    """The files by which a whole installation of PyTorch is known."""
    for name in (
        "torch/__init__.py",
        "torch/version.py",
        "torch/_C.so",
        "torch/lib/libtorch.so",
        "torchgen/__init__.py",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_script_without_torch_gets_one_sentence_and_no_question(the_torch_in, tmp_path, monkeypatch):
    from sparseseg_trainer.errors import InputError
    from SparseSegLib.cohortPropagation import propagateCohort
    from SparseSegLib.propagation import propagate
    from SparseSegLib.segmenting import segment, segmentCohort
    from SparseSegLib.training import train

    asked = answering(monkeypatch, True)
    the_torch_in(tmp_path)
    for work in (propagate, propagateCohort, train, segment, segmentCohort):
        with pytest.raises(InputError, match="PyTorch is not installed") as error:
            work(None, None)
        assert "click Propagate" in error.value.advice
    assert asked == []


def message(window) -> str:
    assert not window.jobRunner.isRunning()
    return window.jobRunner.ui.messageLabel.text


def test_without_torch_and_its_extension_the_user_is_told_to_install_the_extension(
    a_window_to_propagate, the_torch_in, tmp_path
):
    the_torch_in(tmp_path)
    startPropagation(a_window_to_propagate)
    assert "Install the extension PyTorch (Extensions Manager)" in message(a_window_to_propagate)
    waitFor(lambda: panelOf(a_window_to_propagate, "PropagatePanel").ui.propagateButton.enabled)


def test_who_declines_to_install_torch_or_cannot_is_told_and_gets_on_later(
    a_window_to_propagate, the_torch_in, tmp_path
):
    asked = []

    def installTorch(askConfirmation, torchVersionRequirement):
        asked.append((askConfirmation, torchVersionRequirement))
        if len(asked) == 1:
            return None
        if len(asked) == 2:
            raise subprocess.CalledProcessError(1, "pip")
        install(tmp_path)
        return "torch"

    logic = SimpleNamespace(installTorch=installTorch)
    the_torch_in(tmp_path, SimpleNamespace(PyTorchUtilsLogic=lambda: logic))
    startPropagation(a_window_to_propagate)
    assert "PyTorch was not installed." in message(a_window_to_propagate)
    startPropagation(a_window_to_propagate)
    assert "PyTorch could not be installed: Command 'pip'" in message(a_window_to_propagate)
    startPropagation(a_window_to_propagate)
    assert a_window_to_propagate.jobRunner.isRunning()
    assert asked == [(True, ">=2.4.1")] * 3


def test_a_torch_that_is_too_old_is_named_and_the_message_says_how_to_renew_it(
    a_window_to_propagate, tmp_path, monkeypatch
):
    notes = tmp_path / "torch-2.1.0.dist-info/METADATA"
    notes.parent.mkdir()
    notes.write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    startPropagation(a_window_to_propagate)
    assert "PyTorch 2.1.0 is too old: 2.4.1 or later is needed." in message(a_window_to_propagate)
    assert "uninstall PyTorch, restart Slicer and install it again" in message(a_window_to_propagate)


def test_packages_are_installed_beside_what_is_there_which_stays_as_it_is(a_window, monkeypatch):
    from SparseSegLib.dependencies import ensureDependencies

    installed = []

    def pip_install(packages, constraints, **_):
        installed.append((packages, Path(constraints).read_text().split()))

    answering(monkeypatch, True)
    monkeypatch.setitem(slicer.packaging.pip_ensure.__globals__, "pip_install", pip_install)
    monkeypatch.setattr(type(slicer.app), "testingEnabled", lambda self: False)
    ensureDependencies("nothing-like-this")
    [(packages, kept)] = installed
    assert packages == ["nothing-like-this"]
    assert [line.split("==")[0] for line in kept] == ["torch", "numpy", "scipy", "SimpleITK"]
    assert f"torch=={metadata.version('torch')}" in kept


@pytest.mark.parametrize("left", ["torch/lib/libtorch.so", "torch/__init__.py"], ids=["empty", "without its parts"])
def test_a_half_installed_torch_is_recognized_and_the_message_says_how_to_mend_it(
    a_window_to_propagate, the_torch_in, tmp_path, left
):
    (tmp_path / left).parent.mkdir(parents=True)
    (tmp_path / left).touch()
    the_torch_in(tmp_path)
    startPropagation(a_window_to_propagate)
    assert "PyTorch is only half installed." in message(a_window_to_propagate)
    assert "short path" in message(a_window_to_propagate)


@pytest.fixture
def the_module_widget():
    """The module's widget in the application. Reloading imports the module anew: the old imports are put back."""
    from windows import slicer_host

    def library() -> dict:
        return {name: sys.modules[name] for name in sys.modules if name.split(".")[0] in LIBRARY}

    slicer_host.start().mrmlScene.Clear(False)
    before = library()
    with slicer_host.raisingErrors():
        yield slicer_host.openModule("SparseSeg")
    for name in library():
        del sys.modules[name]
    sys.modules.update(before)


def test_reloading_asks_before_it_ends_a_job_and_quitting_ends_it(the_module_widget, monkeypatch):
    window = the_module_widget.window
    volumeNode, label = phantom("Ann")
    startDrawing(window, volumeNode, 7)
    drawSlice(window, {"Ellipsoid": label > 0}, 7)
    startPropagation(window)
    client = window.jobRunner.job.client
    answers = [False, True]
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_, **__: answers.pop(0))
    the_module_widget.onReload()
    assert isAlive(client._process.pid)
    the_module_widget.onReload()
    assert not isAlive(client._process.pid)
    assert not client.folder.exists()

    reloaded = slicer.modules.SparseSegWidget.window
    assert type(reloaded) is not type(window)
    drawSlice(reloaded, {"Ellipsoid": label > 0}, 6)
    waitFor(lambda: reloaded.sliceStates.drawn == (6, 7))
    startPropagation(reloaded)
    client = reloaded.jobRunner.job.client
    slicer.app.moduleManager().moduleAboutToBeUnloaded.emit("SparseSeg")
    assert not isAlive(client._process.pid)
    assert not client.folder.exists()
