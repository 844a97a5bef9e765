"""The networks beside that of slices (``views.py`` of the package) are trained on the labels of whole volumes."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from ..network_shape import NetworkShape
from ..segmentation_network import SeveralViews
from .loop import Run
from .orthogonal_training import train_orthogonal
from .overview_training import train_overview
from .supervised import network_shape


def with_views(run: Run, network: nn.Module, labels: Tensor) -> nn.Module:
    """``network``, of slices, with those beside it that the settings ask for; they learn the ``labels`` of all slices.

    The network alone if there are none. The user is told if the overview could not show what is labeled.
    """
    beside, shape = {}, network_shape(run)
    if run.settings.orthogonal_epochs:
        beside, orthogonal = train_orthogonal(run, network, labels)
        shape = replace(shape, orthogonal=orthogonal)
    if run.settings.overview_epochs and (trained := train_overview(run, labels)):
        beside["overview"], overview = trained
        shape = replace(shape, overview=overview)
    return SeveralViews(network, beside, shape) if beside else network


def final_shape(run: Run, network: nn.Module) -> NetworkShape:
    """The shape of the ``network`` that the training has ended with, which may have others beside it."""
    return network.shape if isinstance(network, SeveralViews) else network_shape(run)
