"""SparseSeg's backend: from one drawn slice to a trained model. It never imports slicer, vtk or qt."""

__version__ = "0.1.0"
