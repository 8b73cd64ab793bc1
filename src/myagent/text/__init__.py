"""Text for people: what makes it safe for a terminal, and how events are worded."""
