"""One module a protocol: how its table in a profile is read, checked, and held against examples."""
