"""Calls devices that have no page open, through their browsers' push services (Web Push), and takes their answers."""
