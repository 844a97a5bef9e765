"""What a panel is: one step of the work, in one line what to do next, and why it cannot be done yet."""

from __future__ import annotations

from ..userInterface import loadInterface


class Panel:
    """One step. A subclass names its .ui file (Resources/UI) and says what to do next and what stands in the way.

    The .ui file holds a ctkCollapsibleButton ``collapsibleButton`` with a QLabel ``instruction`` and a QWidget
    ``contents``. ``self.widget`` is what was loaded, ``self.ui`` has its widgets by name, ``self.window`` is the
    ``Window``, with the scene's and the case's parameters, the logic and the job runner.
    """

    uiName = ""

    def __init__(self, window):
        self.window = window
        self.widget, self.ui = loadInterface(self.uiName)
        self._toolTips = {}
        self._bound = None

    def connectButtons(self, *names: str) -> None:
        """Connects each button, ``nameButton`` in the .ui file, to the method ``onNameClicked``."""
        for name in names:
            handler = getattr(self, f"on{name[0].upper()}{name[1:]}Clicked")
            getattr(self.ui, f"{name}Button").connect("clicked(bool)", handler)

    def obstacle(self) -> str:
        """Why nothing can be done here yet, in one sentence with what to do; empty if it can."""
        return ""

    def instruction(self) -> str:
        """What to do next here, in one line."""
        return ""

    def update(self) -> None:
        """Shows the state of the scene: called after every change. Must not change the scene."""
        obstacle = self.obstacle()
        self.enable(self.ui.contents, obstacle)
        self.ui.collapsibleButton.toolTip = obstacle
        self.ui.instruction.text = obstacle or self.instruction()

    def enable(self, widget, obstacle: str) -> None:
        """Enables the widget if there is no ``obstacle``; else its tool tip says what it is."""
        toolTip = self._toolTips.setdefault(widget.objectName, widget.toolTip)
        widget.enabled = not obstacle
        widget.toolTip = obstacle or toolTip

    def sceneChanged(self) -> None:
        """The window has other scene parameters, or none: binds the widgets with a SlicerParameterName to them."""
        if self._bound:
            parameters, tag = self._bound
            parameters.disconnectGui(tag)
        parameters = self.window.parameters
        self._bound = (parameters, parameters.connectGui(self.ui)) if parameters else None

    def caseChanged(self) -> None:
        """The window has another case, or none."""

    def enter(self) -> None:
        """The user has opened the module."""

    def exit(self) -> None:
        """The user leaves the module."""

    def cleanup(self) -> None:
        """The window is going away: disconnect what would keep it alive."""


def fill(comboBox, entries: list[tuple[str, object]]) -> None:
    """Gives a combo box these texts with their data; one that has them already stays, even while it is open."""
    present = [(comboBox.itemText(row), comboBox.itemData(row)) for row in range(comboBox.count)]
    if present != entries:
        comboBox.clear()
        for text, value in entries:
            comboBox.addItem(text, value)
