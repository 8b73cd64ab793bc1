"""What must not be stored or shown is covered."""
