"""Health indices, degradation and remaining useful life."""
