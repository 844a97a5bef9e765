"""Step 3: propagation through the volume, and which slices to check afterwards."""

from __future__ import annotations

from functools import partial

from slicer.i18n import tr as _

from ..certainty import setCertainty, showCertainty
from ..dependencies import ensureDependencies
from ..parameterNode import UNMARKED, CaseParameters
from ..propagation import PropagationJob, PropagationResult
from ..sliceStates import isAbsent, segmentIdsOf
from ..sliceView import goToSlice
from .panel import Panel, fill


class PropagatePanel(Panel):
    """Runs the propagation of the chosen case, and leads through the slices of low confidence."""

    uiName = "propagatePanel"

    def __init__(self, window):
        super().__init__(window)
        self._updating = False
        self._visited = set()
        self.ui.segmentSelector.connect("currentIndexChanged(int)", self.onSegmentChanged)
        self.connectButtons("propagate", "next")
        self.ui.checkList.connect("currentRowChanged(int)", self.onCheckRowChanged)
        self.ui.certaintyCheckBox.connect("toggled(bool)", self.onCertaintyToggled)

    def obstacle(self) -> str:
        case, states = self.window.case, self.window.sliceStates
        if self.window.volumeObstacle or states.obstacle:
            return self.window.volumeObstacle or states.obstacle
        if not states.drawn:
            return _("Draw the structure on one slice first (step 2).")
        outside = [index for index in states.drawn if isAbsent(case, index)]
        if outside:
            return _(
                "Slice {n} is annotated, but lies beyond the ends that you have marked. Erase it there, or mark the "
                "ends again (step 2)."
            ).format(n=outside[0])
        return ""

    def instruction(self) -> str:
        if not self.window.case.confidence:
            return _("Segment all other slices from the annotated ones: one click.")
        if self._toCheck():
            return _("Check the slices listed. Correct what is wrong (step 2), and propagate again.")
        return _("No slice stands out as uncertain. Correct any slice and propagate again, or go on.")

    def caseChanged(self) -> None:
        self._visited = set()

    def update(self) -> None:
        super().update()
        self.enable(self.ui.propagateButton, self.obstacle() or self.window.jobRunner.obstacle())
        self._updating = True
        self._showSegments()
        toCheck = self._toCheck()
        self._showToCheck(toCheck)
        self._updating = False
        nothing = "" if toCheck else _("There are no slices of low confidence.")
        self.enable(self.ui.nextButton, nothing)
        self.enable(self.ui.checkList, nothing)

    def _toCheck(self) -> list[int]:
        case = self.window.case
        return self.window.sliceStates.toCheck(case.confidence) if case else []

    def _showSegments(self) -> None:
        case, selector = self.window.case, self.ui.segmentSelector
        entries = [(_("all that are drawn"), "")]
        if case and case.segmentation:
            segmentation = case.segmentation.GetSegmentation()
            for segmentId in segmentation.GetSegmentIDs():
                name = segmentation.GetSegment(segmentId).GetName()
                entries.append((_("only {name}").format(name=name), segmentId))
        fill(selector, entries)
        selector.currentIndex = max(0, selector.findData(case.segment)) if case else 0

    def _showToCheck(self, toCheck: list[int]) -> None:
        checkList = self.ui.checkList
        texts = [
            _("Slice {n}: confidence {p} %").format(n=index, p=round(100 * self.window.case.confidence[index]))
            for index in toCheck
        ]
        if texts != [checkList.item(row).text() for row in range(checkList.count)]:
            checkList.clear()
            checkList.addItems(texts)

    def onSegmentChanged(self, row: int) -> None:
        """All segments are to be propagated, or one alone."""
        if not self._updating and self.window.case:
            self.window.case.segment = self.ui.segmentSelector.itemData(row) or ""
            self.window.onDrawingModified()

    def onPropagateClicked(self, checked: bool = False) -> None:
        """Propagates what is drawn; the result goes to this case even if another one is chosen meanwhile."""
        case = self.window.case
        self.window.jobRunner.run(
            lambda: self._createJob(case),
            self.ui.jobPlace,
            onFinished=lambda result: self.onResult(case, result),
        )

    def onResult(self, case: CaseParameters, result: PropagationResult) -> None:
        """The segments have the instant result or the final one; what else it tells goes to the case."""
        before = case.confidence or [0.0] * result.slices
        case.confidence = [result.confidence.get(index, value) for index, value in enumerate(before)]
        self._visited = set()
        if result.probability is not None:
            setCertainty(case, result.probability)
            if case.volume == self.window.parameters.volume:
                showCertainty(case, self.window.parameters.showCertainty)

    def onNextClicked(self, checked: bool = False) -> None:
        """Goes to the slice not visited yet where a correction helps most; after all, starts again."""
        left = set(self._toCheck()) - self._visited
        if not left:
            self._visited, left = set(), set(self._toCheck())
        self._visit(self.window.sliceStates.mostUseful(self.window.case.confidence, sorted(left)))

    def onCheckRowChanged(self, row: int) -> None:
        """Goes to the slice chosen in the list."""
        if not self._updating and row >= 0:
            self._visit(self._toCheck()[row])

    def onCertaintyToggled(self, checked: bool) -> None:
        """Shows or hides the overlay, if there is one."""
        if self.window.case:
            showCertainty(self.window.case, checked)

    def _visit(self, index: int) -> None:
        self._visited.add(index)
        self._updating = True
        self.ui.checkList.currentRow = self._toCheck().index(index)
        self._updating = False
        goToSlice(self.window.case.volume, self.window.case.axis, index)

    def _createJob(self, case: CaseParameters) -> PropagationJob:
        ensureDependencies()
        parameters = self.window.parameters
        return PropagationJob(
            case.volume,
            case.segmentation,
            axis=case.axis,
            segmentIds=segmentIdsOf(case),
            firstSlice=case.firstSlice if case.firstSlice != UNMARKED else None,
            lastSlice=case.lastSlice if case.lastSlice != UNMARKED else None,
            reachesFirst=case.reachesFirst,
            reachesLast=case.reachesLast,
            settings={
                "quality": "refined" if parameters.refine else "instant",
                "device": self.window.settings.device,
                "probabilities": parameters.showCertainty,
            },
            saveStateForUndo=partial(self.window.saveStateForUndo, case.segmentation),
            onInstant=lambda result: self.onResult(case, result),
        )
