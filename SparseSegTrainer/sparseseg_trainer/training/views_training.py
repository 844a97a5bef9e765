"""The networks beside that of slices (``views.py`` of the package) are trained on the labels of whole volumes."""

from __future__ import annotations

import statistics
from dataclasses import replace

from torch import Tensor, nn

from ..network_shape import NetworkShape
from ..segmentation_network import SeveralViews
from .loop import Run
from .orthogonal_training import train_orthogonal
from .overview_training import train_overview
from .supervised import network_shape

FEWEST = 10  # slices of a volume: cuts through fewer are mostly made up between them


def with_views(run: Run, network: nn.Module, labels: Tensor) -> nn.Module:
    """``network``, of slices, with those beside it that the settings ask for; they learn the ``labels`` of all slices.

    The network alone if there are none. The user is told of those that the cohort is not made for: cuts of a few thick
    slices, an overview that could not show what is labeled.
    """
    beside, shape = {}, network_shape(run)
    if run.settings.orthogonal_epochs and few_slices(run):
        run.reporter.warn(
            "The volumes have too few slices for the networks that look across them: the model does without them."
        )
    elif run.settings.orthogonal_epochs:
        beside, orthogonal = train_orthogonal(run, network, labels)
        shape = replace(shape, orthogonal=orthogonal)
    if run.settings.overview_epochs and (trained := train_overview(run, labels)):
        beside["overview"], overview = trained
        shape = replace(shape, overview=overview)
    return SeveralViews(network, beside, shape) if beside else network


def few_slices(run: Run) -> bool:
    """Whether most volumes have fewer than ``FEWEST`` slices."""
    return statistics.median(case.stop - case.start for case in run.data.cases) < FEWEST


def final_shape(run: Run, network: nn.Module) -> NetworkShape:
    """The shape of the ``network`` that the training has ended with, which may have others beside it."""
    return network.shape if isinstance(network, SeveralViews) else network_shape(run)
