"""A modal that gives one result: whatever is pressed after that came too late."""

from __future__ import annotations

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen, ScreenResultType


class Dialog(ModalScreen[ScreenResultType]):
    def dismiss(self, result: ScreenResultType | None = None) -> AwaitComplete:
        """Leave, unless it has been left: keys of one burst still come here, and Textual would pop another screen."""
        if self.app.screen is not self:
            return AwaitComplete()
        return super().dismiss(result)
