"""The laws of the house. Nothing of ours is mocked: the wire is faked instead."""
