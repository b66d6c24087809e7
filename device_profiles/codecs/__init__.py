"""Sans-IO codecs of the field protocols, each in both directions: bytes in, bytes out, no waiting."""
