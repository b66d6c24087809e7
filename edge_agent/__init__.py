"""Edge agent: we call the device. Owns the wires of a pole and hands its readings over to the gateway."""
