"""Registers that several rooms read: shift log, bypasses, calibration due, proposed changes."""
