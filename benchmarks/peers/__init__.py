"""The peers that the product is measured beside; each is a program that takes commands on stdin."""
