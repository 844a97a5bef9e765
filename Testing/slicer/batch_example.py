"""Propagates what is drawn in segmentation files through their volumes, without a window.

In Slicer:
    Slicer --no-main-window --python-script batch_example.py OUT VOLUME SEGMENTATION [VOLUME SEGMENTATION ...]
In plain Python with the wheel slicer-core:
    PYTHONPATH=SparseSeg python Testing/slicer/batch_example.py OUT VOLUME SEGMENTATION [...]

Writes OUT/NAME.seg.nrrd for each volume and OUT/scene.mrb, and prints the volume of each segment.
"""

import sys
from pathlib import Path

import slicer

from SparseSegLib import InputError
from SparseSegLib.headless import startHeadless
from SparseSegLib.propagation import propagate


def milliliters(segmentationNode, segmentId, volumeNode):
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(segmentationNode, segmentId, volumeNode)
    x, y, z = volumeNode.GetSpacing()
    return (voxels > 0).sum() * x * y * z / 1000


def process(volumePath, segmentationPath, out):
    volumeNode = slicer.util.loadVolume(volumePath)
    segmentationNode = slicer.util.loadSegmentation(segmentationPath)
    segmentationNode.SetName(volumeNode.GetName())
    propagate(volumeNode, segmentationNode, settings={"quality": "instant"})
    slicer.util.saveNode(segmentationNode, str(out / f"{segmentationNode.GetName()}.seg.nrrd"))
    segmentation = segmentationNode.GetSegmentation()
    for segmentId in segmentation.GetSegmentIDs():
        name = segmentation.GetSegment(segmentId).GetName()
        volume = milliliters(segmentationNode, segmentId, volumeNode)
        print(f"{volumeNode.GetName()}: {name}: {volume:.2f} ml")


def main(out, *paths):
    startHeadless()  # in Slicer, this does nothing
    Path(out).mkdir(parents=True, exist_ok=True)
    failed = 0
    for volumePath, segmentationPath in zip(paths[::2], paths[1::2], strict=True):
        try:
            # Slicer wants whole paths.
            process(Path(volumePath).absolute(), Path(segmentationPath).absolute(), Path(out).absolute())
        except (InputError, RuntimeError) as error:  # the other volumes still run
            print(f"{volumePath}: {error}")
            failed += 1
    slicer.util.saveScene(str(Path(out).absolute() / "scene.mrb"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
