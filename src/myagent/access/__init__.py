"""Who may connect: the owner token, invites, one-use tickets, and the private files that hold them."""
