"""The stream of early warning: the log as one-second steps, what runs on them, and the findings they give. No I/O."""
