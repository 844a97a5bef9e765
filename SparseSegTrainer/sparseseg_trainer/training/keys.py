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
]
PSEUDO_LABELED = ("collaborative", "semi_only", "registration_only")  # those that make labels of whole volumes
