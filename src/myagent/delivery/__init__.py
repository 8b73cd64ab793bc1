"""From the event log to every connection: cursors, and the window of finished frames that they share."""
