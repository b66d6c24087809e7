"""The laws of the house: laws, cases, transcripts, drills, benchmarks. Nothing of ours is mocked: the wire is faked instead."""
