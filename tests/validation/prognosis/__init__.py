"""Prognosis against what can be known: calibration, false rates, recorded lives."""
