"""What a search found, as the rows that belong into ``site.toml``; what is there already is only named."""

from __future__ import annotations

import json
from collections.abc import Mapping

from device_profiles.profiles import LineSettings
from edge_agent.config import AgentConfig, LinkConfig
from edge_agent.links import line_of
from edge_agent.search import Found


def propose(config: AgentConfig, link: LinkConfig, found: Found) -> str:
    """One ``[[devices]]`` row, or a comment where the site has the unit already."""
    place = link.name, found.unit
    there = next((device.name for device in config.devices if (device.link, device.unit) == place), None)
    if there is not None:
        return f"# unit {found.unit} on {link.name} is {there} already\n"
    models = list(found.models)
    rows = ["[[devices]]", f"name = {_text(f'{link.name}-{found.unit}')}"]
    if not models:
        rows.append(f'# profile = ""  # it answers, and fits no profile of the library ({found.protocol})')
    else:
        others = f"  # or: {', '.join(models[1:])}" if len(models) > 1 else ""
        rows.append(f"profile = {_text(models[0])}{others}")
    rows += [f"link = {_text(link.name)}", f"unit = {found.unit if isinstance(found.unit, int) else _text(found.unit)}"]
    rows += [f"{key} = {json.dumps(value)}" for key, value in differences(line_of(link.target), found.line).items()]
    return "\n".join(rows) + "\n"


def differences(own: LineSettings, line: LineSettings | None) -> Mapping[str, int | str]:
    """What a unit's row must say of its line, where it is not the link's."""
    if line is None:
        return {}
    pairs: dict[str, tuple[int | str, int | str]]
    pairs = {"baud": (own.baud, line.baud), "parity": (own.parity, line.parity), "stop": (own.stop, line.stop)}
    return {key: theirs for key, (ours, theirs) in pairs.items() if ours != theirs}


def _text(value: str) -> str:
    """JSON's strings are TOML's."""
    return json.dumps(value, ensure_ascii=False)
