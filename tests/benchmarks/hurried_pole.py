"""`kuimen pole run` with every point polled faster than a profile may ask, so that the pole's own ceiling is met first.

Run as `python -m tests.benchmarks.hurried_pole SITE SECONDS`. Refuses nothing else: all but the poll period is as the
site file says.
"""

from __future__ import annotations

import sys

import msgspec

from device_profiles.profiles import DeviceProfile
from edge_agent import config as agent_config
from edge_agent.config import AgentConfig, load_config


def hurried(config: AgentConfig, period: float) -> AgentConfig:
    """The configuration with each point of each device polled every `period` seconds."""

    def faster(profile: DeviceProfile) -> DeviceProfile:
        points = tuple(msgspec.structs.replace(point, period=period) for point in profile.modbus.points)
        return msgspec.structs.replace(profile, map=msgspec.structs.replace(profile.modbus, points=points))

    profiles = {device.profile.model: faster(device.profile) for device in config.devices}
    devices = tuple(msgspec.structs.replace(d, profile=profiles[d.profile.model]) for d in config.devices)
    return msgspec.structs.replace(config, devices=devices)


if __name__ == "__main__":
    import kuimen

    period = float(sys.argv[2])
    agent_config.load_config = lambda path: hurried(load_config(path), period)
    kuimen.cli(["pole", "run", sys.argv[1]])
