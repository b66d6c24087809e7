"""Builds the live page before the wheel is packed, so that an installed Kuimen needs no Node."""

import importlib.util
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PageHook(BuildHookInterface[Any]):
    """Runs build_web.py; an editable install is left alone (`make web` builds there)."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects files; a failure to build fails the wheel."""
        if version == "editable":
            return
        path = Path(self.root) / "dashboards/build_web.py"
        spec = importlib.util.spec_from_file_location("build_web", path)
        if spec is None or spec.loader is None:
            raise FileNotFoundError(path)
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
        script.build()
