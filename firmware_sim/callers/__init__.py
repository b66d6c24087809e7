"""Devices that call us: one module a protocol for what they say (`talker`), one runner for all of them.

No module here listens: that is the gateway's half.
"""
