"""What our own agents can do in a workspace, and what is bound to an approval."""
