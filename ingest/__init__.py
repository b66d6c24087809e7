"""What arrives is accepted once, normalised, stored and accounted for.

The wire with the gateways is MQTT, the wire with everybody else HTTP; no field protocol is known here.
"""
