"""The fabric: NATS with JetStream, its streams, the log's writer and reader, requests between processes."""
