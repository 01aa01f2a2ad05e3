"""The life of warnings: states, grouping, escalation, scoring; pure, time is passed in."""
