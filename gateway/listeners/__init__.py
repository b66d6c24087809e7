"""The doors for devices that call us: one module a protocol, and the frame that all of them share."""
