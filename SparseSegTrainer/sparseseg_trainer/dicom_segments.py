"""A label as the description of a segment in a DICOM Segmentation object (PS3.3 C.8.20.4), and back."""

from __future__ import annotations

import importlib.metadata

from .labels import Label, default_label
from .terminology import TISSUE, Code, Terminology, format_entry, parse_entry

PROGRAM = "SparseSeg"
LONGEST_TEXT = 64  # characters of a DICOM "long string", the type of names and meanings


def describe(number: int, label: Label, algorithm: str):
    """The highdicom SegmentDescription of a label, which is "Tissue" if it has no codes.

    ``algorithm`` is "manual", "semiautomatic" or "automatic".
    """
    import highdicom
    from pydicom.sr.codedict import codes

    terminology = parse_entry(label.terminology) or TISSUE
    region = _concept(terminology.region)
    identification = None
    if algorithm != "manual":
        family = codes.DCM.ArtificialIntelligence
        identification = highdicom.AlgorithmIdentificationSequence(PROGRAM, family, version())
    segment = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=label.name.replace("\\", "/").strip()[:LONGEST_TEXT] or default_label(label.value).name,
        segmented_property_category=_concept(terminology.category),
        segmented_property_type=_concept(terminology.type),
        algorithm_type=algorithm.upper(),
        algorithm_identification=identification,
        anatomic_regions=[region] if region else None,
        display_color=highdicom.color.CIELabColor.from_rgb(*(255 * part for part in label.color)),
    )
    if terminology.type_modifier:
        kind = segment.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [_concept(terminology.type_modifier)]
    if region and terminology.region_modifier:
        segment.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [_concept(terminology.region_modifier)]
    return segment


def label_of(segment) -> Label:
    """The label that a segment's description makes; its value is the segment's number."""
    kind = segment.SegmentedPropertyTypeCodeSequence[0]
    region = first_item(segment, "AnatomicRegionSequence")
    terminology = Terminology(
        category=_code(segment.SegmentedPropertyCategoryCodeSequence[0]),
        type=_code(kind),
        type_modifier=_code(first_item(kind, "SegmentedPropertyTypeModifierCodeSequence")),
        region=_code(region),
        region_modifier=_code(first_item(region, "AnatomicRegionModifierSequence")),
    )
    label = default_label(segment.SegmentNumber)
    color = label.color
    if "RecommendedDisplayCIELabValue" in segment:
        from highdicom.color import CIELabColor

        red_green_blue = CIELabColor.from_dicom_value(segment.RecommendedDisplayCIELabValue).to_rgb()
        color = tuple(round(float(part) / 255, 3) for part in red_green_blue)
    return Label(label.value, str(segment.SegmentLabel), color, format_entry(terminology))


def _concept(code: Code | None):
    from highdicom.sr import CodedConcept

    return CodedConcept(code.value, code.scheme, code.meaning[:LONGEST_TEXT]) if code else None


def _code(item) -> Code | None:
    if item is None:
        return None
    value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue")
    return Code(str(item.CodingSchemeDesignator), str(value), str(item.CodeMeaning))


def version() -> str:
    """The version of this program."""
    try:
        return importlib.metadata.version("sparseseg")
    except importlib.metadata.PackageNotFoundError:  # in the Slicer extension the trainer is a folder, not a package
        return "unknown"


def first_item(dataset, keyword: str):
    """The first item of a sequence, None if it is missing or empty."""
    items = dataset.get(keyword) if dataset is not None else None
    return items[0] if items else None
