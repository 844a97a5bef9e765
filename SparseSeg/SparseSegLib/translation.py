"""Slicer's translation of texts; where there is no application, texts stay as they are."""

try:
    from slicer.i18n import tr
except ImportError:

    def tr(text: str) -> str:
        """The text itself."""
        return text


__all__ = ["tr"]
