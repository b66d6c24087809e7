"""People look, ask and are told: serves the live page, relays ingest's API, holds no data."""
