"""The Slicer module SparseSeg: what Slicer has to know of it. All that it does is in SparseSegLib."""

import sys

import numpy as np
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)


class SparseSeg(ScriptedLoadableModule):
    """Title, category and texts of the module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("SparseSeg")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "Volumes"]
        parent.contributors = ["SparseSeg contributors"]
        parent.helpText = _(
            "Draw a structure on one slice of an MR volume and propagate it through all others; train a "
            "segmentation model from volumes treated this way. Everything runs on this computer."
        )
        parent.acknowledgementText = _(
            "The training method follows Osman et al., Collaborative Learning for Annotation-Efficient "
            "Volumetric MR Image Segmentation (2024)."
        )


class SparseSegWidget(ScriptedLoadableModuleWidget):
    """The module's window: see ``SparseSegLib.window``."""

    window = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from SparseSegLib.window import Window

        self.window = Window(self.layout, SparseSegLogic())
        if self.parent.isEntered:  # after a reload, Slicer does not enter it again
            self.enter()

    def enter(self):
        self.window.enter()

    def exit(self):
        self.window.exit()

    def cleanup(self):
        if self.window:  # not if setup has failed
            self.window.cleanup()

    def onReload(self):
        if self.window.mayStop():
            forgetLibrary()
            ScriptedLoadableModuleWidget.onReload(self)


class SparseSegLogic(ScriptedLoadableModuleLogic):
    """What the module does, for Python scripts."""

    def getParameterNode(self):
        """What the window shows, as saved with the scene."""
        from SparseSegLib.parameterNode import SceneParameters

        return SceneParameters(super().getParameterNode())

    def propagate(self, volumeNode, segmentationNode, waitForCompletion=True, **options):
        """Propagates what is drawn through the volume: see ``SparseSegLib.propagation.propagate``."""
        from SparseSegLib.propagation import propagate

        return propagate(volumeNode, segmentationNode, waitForCompletion, **options)

    def addCase(self, cohortFolder, volumeNode, segmentationNode, **options):
        """Writes a volume and what is drawn on it into a cohort: see ``SparseSegLib.sceneCases.addCase``."""
        from SparseSegLib.sceneCases import addCase

        return addCase(cohortFolder, volumeNode, segmentationNode, **options)

    def propagateCohort(self, cohortFolder, waitForCompletion=True, **options):
        """Propagates all drawn cases of a cohort: see ``SparseSegLib.cohortPropagation.propagateCohort``."""
        from SparseSegLib.cohortPropagation import propagateCohort

        return propagateCohort(cohortFolder, waitForCompletion, **options)

    def train(self, cohortFolder, modelFolder, waitForCompletion=True, **settings):
        """Trains a model on a cohort: see ``SparseSegLib.training.train``."""
        from SparseSegLib.training import train

        return train(cohortFolder, modelFolder, waitForCompletion, **settings)

    def segment(self, volumeNode, model, segmentationNode=None, waitForCompletion=True, **options):
        """Segments a volume with a model, into new segments: see ``SparseSegLib.segmenting.segment``."""
        from SparseSegLib.segmenting import segment

        return segment(volumeNode, model, segmentationNode, waitForCompletion, **options)

    def segmentCohort(self, cohortFolder, model, waitForCompletion=True, **options):
        """Segments all cases of a cohort: see ``SparseSegLib.segmenting.segmentCohort``."""
        from SparseSegLib.segmenting import segmentCohort

        return segmentCohort(cohortFolder, model, waitForCompletion, **options)


def forgetLibrary():
    """Lets the next import read SparseSegLib again: Slicer itself reloads this file only."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("SparseSegLib", "sparseseg_trainer")]:
        del sys.modules[name]


class SparseSegTest(ScriptedLoadableModuleTest):
    """One propagation in the running application, on a volume made here."""

    def setUp(self):
        from SparseSegLib.dependencies import torchState

        if torchState() != "installed":
            self.skipTest("PyTorch is not installed: click Propagate in the module first.")
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_a_disk_drawn_on_one_slice_becomes_a_cylinder_and_undo_takes_it_back()

    def test_a_disk_drawn_on_one_slice_becomes_a_cylinder_and_undo_takes_it_back(self):
        from SparseSegLib.segmentVolumes import segmentVolumes

        rows, columns = np.mgrid[:64, :64]
        disk = (rows - 32) ** 2 + (columns - 32) ** 2 < 15**2
        cylinder = np.zeros((20, 64, 64), np.int16)
        cylinder[4:16] = 100 * disk
        volumeNode = slicer.util.addVolumeFromArray(cylinder, name="Cylinder")
        segmentationNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
        segmentId = segmentationNode.GetSegmentation().AddEmptySegment("", "Disk")
        drawn = np.zeros(cylinder.shape, np.uint8)
        drawn[10] = disk
        slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, segmentationNode, segmentId, volumeNode)

        job = SparseSegLogic().propagate(volumeNode, segmentationNode, settings={"quality": "instant"})

        result = slicer.util.arrayFromSegmentBinaryLabelmap(segmentationNode, segmentId, volumeNode)
        self.assertTrue(np.array_equal(result[10], drawn[10]))
        self.assertGreater(result[6:14].sum(), 0.8 * 8 * disk.sum())
        milliliters = segmentVolumes(segmentationNode, [segmentId], volumeNode)
        self.assertAlmostEqual(milliliters[segmentId], result.sum() / 1000)
        job.editorLogic.Undo()
        result = slicer.util.arrayFromSegmentBinaryLabelmap(segmentationNode, segmentId, volumeNode)
        self.assertTrue(np.array_equal(result, drawn))
