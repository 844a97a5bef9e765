"""The methods of training by key; no PyTorch here, the command line names them in its help."""

from __future__ import annotations

from typing import Literal

# Each is a module of ``methods`` whose ``train(run)`` returns the trained network.
Method = Literal[
    "collaborative",
    "central_only",
    "full",
    "semi_only",
    "registration_only",
    "mean_teacher",
    "ua_mt",
    "dct_seg",
    "ict",
    "ac_mt",
    "hybrid_crop",
    "sassnet",
    "dtc",
    "urpc",
    "mc_net",
    "ss_net",
    "partial",
    "representative",
    "dense_voxnet",
]
# Those that may train networks beside that of slices: they know the labels of whole volumes.
WITH_VIEWS = ("collaborative", "semi_only", "full")
SEMI_SUPERVISED = ("collaborative", "semi_only")  # those that train first networks on drawn slices
PSEUDO_LABELED = (*SEMI_SUPERVISED, "registration_only")  # those that make labels of whole volumes

# Those that learn from some wholly labeled volumes and, besides, from volumes without any label.
WITH_UNLABELED = ("hybrid_crop", "ua_mt", "sassnet", "dtc", "urpc", "mc_net", "ss_net")
# The methods whose network sees volumes, with its architecture.
VOLUMETRIC = dict.fromkeys(WITH_UNLABELED, "vnet") | {"hybrid_crop": "two_vnets", "partial": "marked_unet"}
VOLUMETRIC |= {"representative": "representative", "dense_voxnet": "dense_voxnet"}
SLICES_TOO = ("ua_mt",)  # those of them that can see slices instead: the setting ``dimensions``

# Those that learn from voxels, and so from slices drawn across the image's other axes too.
VOXELWISE = ("partial", "representative", "dense_voxnet")


def architecture_of(method: str, dimensions: int) -> str:
    """The kind of network that the method trains with the (resolved) setting ``dimensions``."""
    return VOLUMETRIC[method] if dimensions == 3 else "slices"


def learns_from_whole_volumes(method: str, dimensions: int) -> bool:
    """Whether each label is of a whole volume, and cases without a label are learned from too."""
    return dimensions == 3 and method in WITH_UNLABELED
