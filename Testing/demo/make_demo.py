"""The whole job once, as ``make demo`` runs it: draw, propagate, train, segment, evaluate, open in Slicer.

Writes the folder demo/ in the project's root. No download: the images come with the package nilearn.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import slicer

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "SparseSeg"))

from picture import save_picture  # noqa: E402
from template_cohort import BRAIN, write_template_cohort  # noqa: E402

from sparseseg_trainer.cohort import read_cohort  # noqa: E402
from sparseseg_trainer.volumes import read_label  # noqa: E402
from SparseSegLib.headless import startHeadless  # noqa: E402
from SparseSegLib.propagation import propagate  # noqa: E402
from SparseSegLib.segments import addSegments, createEditorLogic, writeLabel  # noqa: E402
from SparseSegLib.volumeFiles import geometryOf  # noqa: E402

DEMO = ROOT / "demo"
TRAINING = [f"train{number}" for number in range(1, 9)]
HELD_OUT = [f"new{number}" for number in range(1, 4)]
# The preset "fast" with fewer steps: the demo has to end within five minutes on two cores.
TRAIN_SETTINGS = ("steps=35", "epochs=5", "semi_epochs=5", "K1=2", "K2=5", "orthogonal_epochs=3")


def main() -> None:
    started = time.monotonic()
    shutil.rmtree(DEMO, ignore_errors=True)
    startHeadless()
    say("Making a cohort: nilearn's T1 template, bent at random, with random contrast (no real patients).")
    write_template_cohort(DEMO / "cohort" / "drawn", ["drawn"], seed=0)
    write_template_cohort(DEMO / "cohort" / "training", TRAINING, seed=1)
    write_template_cohort(DEMO / "cohort" / "new", HELD_OUT, seed=2)

    say("Drawing the brain tissue of one volume on its central slice, and propagating it in a scene.")
    propagated = propagate_drawn_slice()

    say("Training on the other volumes, of which only the central slice is labeled.")
    run("cohort", "sparsify", DEMO / "cohort" / "training", "--out", DEMO / "cohort" / "sparse")
    options = [word for setting in TRAIN_SETTINGS for word in ("--set", setting)]
    run("train", DEMO / "cohort" / "sparse", "--out", DEMO / "model", "--preset", "fast", *options)

    say("Segmenting volumes that the model has never seen, and comparing them with their full masks.")
    run("segment", DEMO / "cohort" / "new", "--model", DEMO / "model", "--out", DEMO / "segmented")
    # beside the scores, what the network was taught: certain and uncertain pseudo labels of the training's volumes
    taught = ("--pseudo-labels", DEMO / "model" / "pseudo_labels", "--pseudo-cohort", DEMO / "cohort" / "sparse")
    run("evaluate", DEMO / "segmented", "--reference", DEMO / "cohort" / "new", "--out", DEMO / "report", *taught)

    say("Loading all of it into one scene.")
    load_segmented()
    save_scene()
    summarize(propagated, time.monotonic() - started)


def propagate_drawn_slice() -> float:
    """Adds a volume and its propagated segmentation to the scene; returns the Dice against the full mask."""
    [case] = read_cohort(DEMO / "cohort" / "drawn").cases
    volumeNode = slicer.util.loadVolume(case.image, {"name": "Drawn on one slice"})
    full = read_label(case.label, geometryOf(volumeNode), case.name)
    drawn = np.zeros_like(full)
    drawn[len(full) // 2] = full[len(full) // 2]
    segmentationNode = add_segmentation(volumeNode, "Propagated", drawn)
    job = propagate(volumeNode, segmentationNode)
    segmentId = job.segmentIds[0]
    result = slicer.util.arrayFromSegmentBinaryLabelmap(segmentationNode, segmentId, volumeNode) > 0
    save_picture(DEMO / "one-slice.png", slicer.util.arrayFromVolume(volumeNode), result, len(full) // 2)
    return 2 * (result & (full > 0)).sum() / (result.sum() + (full > 0).sum())


def load_segmented() -> None:
    """Loads the segmented volumes, hidden at first, so that the scene opens on the drawn one."""
    segmented = {case.name: case for case in read_cohort(DEMO / "segmented").cases}
    for case in read_cohort(DEMO / "cohort" / "new").cases:
        volumeNode = slicer.util.loadVolume(case.image, {"name": case.name})
        label = read_label(segmented[case.name].label, geometryOf(volumeNode), case.name)
        segmentationNode = add_segmentation(volumeNode, f"{case.name}-segmented", label)
        segmentationNode.GetDisplayNode().SetVisibility(False)


def add_segmentation(volumeNode, name: str, label: np.ndarray):
    """A segmentation of the volume with ``label`` (k, j, i) as its brain segment."""
    segmentationNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    segmentationNode.CreateDefaultDisplayNodes()
    segmentIds = addSegments(segmentationNode, [BRAIN])
    editorLogic = createEditorLogic(segmentationNode, volumeNode)
    writeLabel(label, segmentationNode, segmentIds, volumeNode, editorLogic)
    return segmentationNode


def save_scene() -> None:
    """Writes each segmentation as .seg.nrrd, and a scene that opens with the drawn volume in all views."""
    background = slicer.mrmlScene.GetFirstNode("Drawn on one slice", "vtkMRMLScalarVolumeNode")
    for view in ("Red", "Green", "Yellow"):
        compositeNode = slicer.vtkMRMLSliceCompositeNode()
        compositeNode.SetSingletonTag(view)
        compositeNode.SetLayoutName(view)
        slicer.mrmlScene.AddNode(compositeNode).SetBackgroundVolumeID(background.GetID())
    (DEMO / "segmentations").mkdir(exist_ok=True)
    for segmentationNode in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        path = DEMO / "segmentations" / f"{segmentationNode.GetName()}.seg.nrrd"
        slicer.util.saveNode(segmentationNode, str(path))
    if not slicer.util.saveScene(str(DEMO / "scene.mrb")):
        sys.exit("The scene could not be saved.")


def summarize(propagated: float, seconds: float) -> None:
    metrics = json.loads((DEMO / "report" / "metrics.json").read_text(encoding="utf-8"))
    mean = metrics["rows"][-1]["dice"]["mean"]
    say(f"Done in {seconds:.0f} s, everything on this computer.")
    print(f"Dice of the volume propagated from one drawn slice, against its full mask: {propagated:.3f}")
    print(f"Dice of {len(HELD_OUT)} new volumes segmented by the model, against their full masks: {mean:.3f}")
    print("Open in 3D Slicer:   demo/scene.mrb (or the files in demo/segmentations)")
    print("Open in a browser:   demo/report/report.html")
    print("Look at:             demo/one-slice.png")
    print("The trained model:   demo/model (sparseseg segment IMAGE --model demo/model --out OUT)")


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


def run(*arguments) -> None:
    """Runs ``sparseseg`` as a user would, and shows the command; ends the demo if it fails."""
    words = [str(word.relative_to(ROOT)) if isinstance(word, Path) else word for word in arguments]
    print("$ sparseseg " + " ".join(words), flush=True)
    program = Path(sys.executable).with_name("sparseseg")
    if subprocess.run([program, *words], cwd=ROOT).returncode:
        sys.exit(f"The demo stopped: sparseseg {words[0]} failed.")


if __name__ == "__main__":
    main()
