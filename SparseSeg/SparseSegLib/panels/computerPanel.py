"""Below the steps: what belongs to this computer."""

from __future__ import annotations

from slicer.i18n import tr as _

from .panel import Panel


class ComputerPanel(Panel):
    """Chooses the device that the trainer computes on."""

    uiName = "computerPanel"

    def __init__(self, window):
        super().__init__(window)
        for text, device in (
            (_("the graphics card if there is one"), "auto"),
            (_("the graphics card (NVIDIA)"), "cuda"),
            (_("the processor"), "cpu"),
        ):
            self.ui.deviceSelector.addItem(text, device)
        self.ui.deviceSelector.currentIndex = self.ui.deviceSelector.findData(window.settings.device)
        self.ui.deviceSelector.connect("currentIndexChanged(int)", self.onDeviceChanged)

    def instruction(self) -> str:
        return _("Nothing leaves this computer.")

    def onDeviceChanged(self, index: int) -> None:
        """The user has chosen a device."""
        self.window.settings.device = self.ui.deviceSelector.itemData(index)
