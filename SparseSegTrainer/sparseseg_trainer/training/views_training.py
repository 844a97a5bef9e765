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

FEWEST = 10  # slices of most volumes: cuts through fewer are mostly made up between them


def wants_cuts(run: Run) -> bool:
    """Whether the settings ask for networks of cuts and the cohort is made for them.

    It is not if its volumes have a few thick slices, which the user is told.
    """
    if not run.settings.orthogonal_epochs:
        return False
    if statistics.median(case.stop - case.start for case in run.data.cases) < FEWEST:
        run.reporter.warn(
            "The volumes have too few slices for the networks that look across them: the model does without them."
        )
        return False
    return True


def with_cuts(run: Run, slices: nn.Module, start: nn.Module, labels: Tensor) -> SeveralViews:
    """``slices`` with the networks of cuts beside it, which learn the ``labels`` of all slices.

    They start from the weights of ``start``, a network of slices, if set.
    """
    networks, orthogonal = train_orthogonal(run, start, labels)
    return SeveralViews(slices, networks, replace(network_shape(run), orthogonal=orthogonal))


def with_overview(run: Run, network: nn.Module, labels: Tensor) -> nn.Module:
    """``network``, of slices or of several views, with an overview beside it that has learned the ``labels``.

    ``network`` alone if the settings ask for none or it could not show what is labeled, which the user is told.
    """
    trained = train_overview(run, labels) if run.settings.overview_epochs else None
    if trained is None:
        return network
    overview, seen = trained
    beside, slices = {"overview": overview}, network
    if isinstance(network, SeveralViews):
        beside, slices = network.beside | beside, network.slices
    return SeveralViews(slices, beside, replace(final_shape(run, network), overview=seen))


def final_shape(run: Run, network: nn.Module) -> NetworkShape:
    """The shape of the ``network`` that the training has ended with, which may have others beside it."""
    return network.shape if isinstance(network, SeveralViews) else network_shape(run)
