"""Settings of the laws: no deadline an example, because a busy machine is no broken law."""

from hypothesis import settings

settings.register_profile("laws", deadline=None)
settings.load_profile("laws")
