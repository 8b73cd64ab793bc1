"""Beyond one machine: a host publishes to NATS with JetStream, and relays show what it publishes."""
