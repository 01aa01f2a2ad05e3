"""Monitor 监测: the alarm engine, live values, alarm performance."""
