"""The gateway: devices and agents call it, and everything leaves a pole through its one durable spool."""
