"""How the full-screen client is laid out, in Textual's own style sheet language."""

from __future__ import annotations

CSS = """
#main { height: 1fr; }
#side { width: 38; height: 100%; padding: 0 0 0 1; border-left: solid $panel; overflow: hidden hidden; }
#timeline { width: 1fr; height: 100%; overflow-x: hidden; overflow-y: scroll; scrollbar-size-vertical: 1;
  background: $background; }
#status { height: 1; background: $panel; }
#queue { height: 1; color: $text-muted; }
#search { height: 1; border: none; padding: 0; }
#completion { height: auto; max-height: 6; background: $surface; color: $text-muted; }
#prompt { height: auto; min-height: 2; max-height: 8; border: none; border-top: solid $primary; padding: 0; }
Question, Chooser, Help { align: center middle; }
#question, #chooser { width: 96%; max-width: 110; height: auto; max-height: 100%; border: heavy $warning; padding: 0 1;
  background: $surface; }
#question-facts, #question-title, #question-keys { height: auto; }
#question-body { height: auto; max-height: 1fr; scrollbar-size-vertical: 1; }
#typed { border: none; height: 1; padding: 0; margin: 0 0 1 0; }
#reason { border: none; height: 1; padding: 0; }
ToastRack { dock: top; align: right top; margin: 0; }
#chooser VerticalScroll { height: auto; max-height: 1fr; scrollbar-size-vertical: 1; }
#chooser OptionList { height: auto; max-height: 1fr; border: none; padding: 0; }
"""
