"""The language all rooms speak: what a device is, what a reading is, how bytes become values.

Nothing here opens a socket, waits, logs or reads a clock, and nothing here imports another room.
"""
