"""Measurements: every figure that Ceiba claims comes from a command here."""
