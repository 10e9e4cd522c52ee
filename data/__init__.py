"""Measured data of poolproof, which finds them here; each file is under its own licence, see README.md."""
