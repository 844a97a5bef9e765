"""What a segment is, in codes: Slicer's terminology entry as a string, and its parts."""

from __future__ import annotations

from dataclasses import dataclass

CATEGORIES = "Segmentation category and type - DICOM master list"
REGIONS = "Anatomic codes - DICOM master list"


@dataclass(frozen=True)
class Code:
    """A coded concept: ``scheme`` ("SCT" for SNOMED CT), ``value`` and ``meaning``."""

    scheme: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Terminology:
    """Category and type of a segment, and where in the body it is, as DICOM PS3.3 C.8.20.4 has them."""

    category: Code
    type: Code
    type_modifier: Code | None = None
    region: Code | None = None
    region_modifier: Code | None = None


# What Slicer gives to a segment until the user chooses something.
TISSUE = Terminology(Code("SCT", "85756007", "Tissue"), Code("SCT", "85756007", "Tissue"))


def parse_entry(entry: str) -> Terminology | None:
    """The codes of a terminology entry; None if it names no category and type, or is not one.

    An entry is CONTEXT~CATEGORY~TYPE~MODIFIER~CONTEXT~REGION~MODIFIER with codes SCHEME^VALUE^MEANING, as
    vtkSlicerTerminologiesModuleLogic::SerializeTerminologyEntry writes it.
    """
    parts = entry.split("~")
    category, kind, kind_modifier, region, region_modifier = (
        _code(parts[index]) if index < len(parts) else None for index in (1, 2, 3, 5, 6)
    )
    if not (category and kind):
        return None
    return Terminology(category, kind, kind_modifier, region, region_modifier)


def format_entry(terminology: Terminology) -> str:
    """The terminology as an entry that Slicer and ``parse_entry`` read."""
    parts = [terminology.category, terminology.type, terminology.type_modifier]
    where = [terminology.region, terminology.region_modifier]
    return "~".join([CATEGORIES, *map(_text, parts), REGIONS, *map(_text, where)])


def _code(text: str) -> Code | None:
    parts = text.split("^")
    return Code(*parts) if len(parts) == 3 and all(parts) else None


def _text(code: Code | None) -> str:
    return f"{code.scheme}^{code.value}^{code.meaning}" if code else "^^"
