"""The rules, pure: messages, ownership, sessions, permissions, display; no await, clock, chance, file or log."""
