"""Perceive 感知: connectors, the gateway, onboarding."""
