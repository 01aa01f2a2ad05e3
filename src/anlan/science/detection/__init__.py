"""Anomaly detection and early warning on time series."""
