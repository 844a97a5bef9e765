"""``ctk``: the widgets of the Common Toolkit that the module uses."""

from __future__ import annotations

from PySide6.QtCore import Property, QRect, QSettings, Qt, Signal
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QDoubleSpinBox,
    QGroupBox,
    QHBoxLayout,
    QMessageBox,
    QPushButton,
    QSizePolicy,
    QSlider,
    QStyle,
    QStyleOptionButton,
    QWidget,
)

from .api import Setting, SlicerClass


def _showContents(widget: QWidget, shown: bool) -> None:
    """Hides the children, remembering which were hidden before, or shows the others again."""
    for child in widget.children():
        if not child.isWidgetType() or child.isWindow():
            continue
        if not shown:
            wasHidden = child.isHidden() and child.testAttribute(Qt.WA_WState_ExplicitShowHide)
            child.setProperty("_hiddenByItself", wasHidden)
            child.hide()
        elif not child.property("_hiddenByItself"):
            child.show()


class ctkCollapsibleButton(SlicerClass, QAbstractButton):
    """A header that shows and hides what is laid out below it."""

    contentsCollapsed = Signal(bool)
    flat = Setting(bool, "flat", False)

    def __init__(self, text="", parent=None) -> None:
        if isinstance(text, QWidget):
            text, parent = "", text
        super().__init__(parent)
        self.text = text
        self.checkable = self.checked = True
        self.setSizePolicy(QSizePolicy.Preferred, QSizePolicy.Preferred)
        self.setContentsMargins(0, self._headerHeight(), 0, 0)
        self.toggled.connect(self._onToggled)

    def _onToggled(self, expanded: bool) -> None:
        _showContents(self, expanded)
        self.setSizePolicy(QSizePolicy.Preferred, QSizePolicy.Preferred if expanded else QSizePolicy.Fixed)
        self.updateGeometry()
        self.contentsCollapsed.emit(not expanded)

    collapsed = Property(bool, lambda self: not self.checked, lambda self, value: self.setChecked(not value))

    def _headerHeight(self) -> int:
        return self.fontMetrics().height() + 8

    def _header(self) -> QRect:
        return QRect(0, 0, self.width, self._headerHeight())

    def hitButton(self, position) -> bool:
        return self._header().contains(position)

    def sizeHint(self):
        size = self.layout().totalSizeHint() if self.layout() and self.checked else super().sizeHint
        textWidth = self.fontMetrics().horizontalAdvance(self.text) + 40
        size.setWidth(max(size.width(), textWidth))
        size.setHeight(max(size.height(), self._headerHeight()) if self.checked else self._headerHeight())
        return size

    def childEvent(self, event) -> None:
        if event.polished() and not self.checked:
            _showContents(self, False)

    def hasHeightForWidth(self) -> bool:
        return self.checked and super().hasHeightForWidth()

    def minimumSizeHint(self):
        return self.sizeHint() if not self.checked or not self.layout() else self.layout().totalMinimumSize()

    def paintEvent(self, event) -> None:
        painter, option, style = QPainter(self), QStyleOptionButton(), self.style()
        option.initFrom(self)
        option.rect = self._header()
        style.drawControl(QStyle.CE_PushButtonBevel, option, painter, self)
        arrow = QStyleOptionButton(option)
        arrow.rect = QRect(6, option.rect.height() // 2 - 5, 10, 10)
        direction = QStyle.PE_IndicatorArrowDown if self.checked else QStyle.PE_IndicatorArrowRight
        style.drawPrimitive(direction, arrow, painter, self)
        style.drawItemText(
            painter,
            option.rect.adjusted(22, 0, -4, 0),
            Qt.AlignLeft | Qt.AlignVCenter,
            self.palette,
            self.enabled,
            self.text,
            self.foregroundRole(),
        )


class ctkCollapsibleGroupBox(SlicerClass, QGroupBox):
    """A group box whose title's check mark shows and hides its contents."""

    def __init__(self, title="", parent=None) -> None:
        if isinstance(title, QWidget):
            title, parent = "", title
        super().__init__(title, parent)
        self.checkable = self.checked = True
        self.toggled.connect(lambda shown: _showContents(self, shown))

    collapsed = Property(bool, lambda self: not self.checked, lambda self, value: self.setChecked(not value))


class ctkMenuButton(SlicerClass, QPushButton):
    """A push button that may carry a menu."""


class ctkComboBox(SlicerClass, QComboBox):
    """A combo box with a text for "nothing chosen"."""

    defaultText = Setting(str, "defaultText", "")

    def _changed(self, name: str) -> None:
        self.placeholderText = self.defaultText


class ctkMessageBox(SlicerClass, QMessageBox):
    """A message box that need not be shown again: the choice is kept in the settings under a key."""

    dontShowAgain = Setting(bool, "dontShowAgain", False)
    dontShowAgainVisible = Setting(bool, "dontShowAgainVisible", False)
    dontShowAgainSettingsKey = Setting(str, "dontShowAgainSettingsKey", "")

    def setDontShowAgain(self, dontShow: bool) -> None:
        self.dontShowAgain = dontShow

    def exec(self) -> int:
        key = self.dontShowAgainSettingsKey
        kept = QSettings().value(key) if key else None
        if kept is not None:
            return int(kept)
        answer = super().exec()
        if key and self.dontShowAgain:
            QSettings().setValue(key, int(answer))
        return answer

    exec_ = exec


class ctkSliderWidget(SlicerClass, QWidget):
    """A slider and a spin box for the same number."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._slider, self._spinBox = QSlider(Qt.Horizontal, self), QDoubleSpinBox(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._spinBox)
        self._slider.valueChanged.connect(lambda step: self._spinBox.setValue(self.minimum + step * self.singleStep))
        self._spinBox.valueChanged.connect(self._onValue)
        self._fitSlider()

    def _fitSlider(self) -> None:
        self._slider.blockSignals(True)
        self._slider.setRange(0, round((self.maximum - self.minimum) / self.singleStep))
        self._slider.value = round((self.value - self.minimum) / self.singleStep)
        self._slider.blockSignals(False)

    def _onValue(self, value: float) -> None:
        self._slider.blockSignals(True)
        self._slider.value = round((value - self.minimum) / self.singleStep)
        self._slider.blockSignals(False)
        self.valueIsChanging.emit(value)
        self.valueChanged.emit(value)

    def _of(name: str, propertyType):  # a property of the spin box that also shapes the slider
        def write(self, value) -> None:
            setattr(self._spinBox, name, value)
            self._fitSlider()

        return Property(propertyType, lambda self: getattr(self._spinBox, name), write)

    minimum, maximum, singleStep = _of("minimum", float), _of("maximum", float), _of("singleStep", float)
    decimals, prefix, suffix = _of("decimals", int), _of("prefix", str), _of("suffix", str)
    value = _of("value", float)
    tracking = Setting(bool, "tracking", True)
    spinBoxVisible = Property(
        bool, lambda self: not self._spinBox.isHidden(), lambda self, v: self.setSpinBoxVisible(v)
    )

    def setValue(self, value: float) -> None:
        self.value = value

    def setDecimals(self, decimals: int) -> None:
        self.decimals = decimals

    def setSpinBoxVisible(self, visible: bool) -> None:
        self._spinBox.visible = visible
