"""How a label map says that a label is uncertain; no PyTorch here, the report reads it too."""

from __future__ import annotations

# Added to the class number: 0 is background, 1..C are classes, 101..100+C uncertain ones. Class c is the c-th of the
# model's or cohort's labels by value, which need not be the value c.
UNCERTAIN = 100
