"""Devices that are not there: a profile read backwards, plus physics and a catalogue of faults.

No production room imports this one.
"""
