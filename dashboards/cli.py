"""`kuimen dashboards`: run the live page's server, or check that it could run."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

import click
import httpx
import msgspec

from dashboards.config import DashboardsConfig, load_config
from dashboards.page import load_page
from dashboards.relay import new_client
from dashboards.server import run as serve
from device_profiles.problems import ConfigError, Problem

CENTRE = click.argument("centre", type=click.Path(path_type=Path))


@click.group()
def cli() -> None:
    """The live page: every device, its latest values, their age, one chart, the ledger."""


@cli.command()
@CENTRE
def run(centre: Path) -> None:
    """Serve the page that CENTRE describes until SIGTERM or Ctrl-C."""
    try:
        asyncio.run(_serve_until_signal(load_config(centre)))
    except ConfigError as wrong:
        _refuse(wrong.problems)


async def _serve_until_signal(config: DashboardsConfig) -> None:
    stop = asyncio.Event()

    def asked() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked)
    await serve(config, stop)


@cli.command()
@CENTRE
@click.option("--connect", is_flag=True, help="Also ask ingest whether it is alive.")
@click.option("--json", "as_json", is_flag=True, help="Print the effective settings as JSON.")
def check(centre: Path, connect: bool, as_json: bool) -> None:
    """Check CENTRE and the built page; with --connect also that ingest answers."""
    problems: list[Problem] = []
    config = DashboardsConfig()
    try:
        config = load_config(centre)
    except ConfigError as wrong:
        problems += wrong.problems
    try:
        files = load_page()
    except ConfigError as wrong:
        problems += wrong.problems
    if problems:
        _refuse(problems)
    if connect and (trouble := asyncio.run(_ask_ingest(config))):
        _refuse([Problem(str(centre), 0, "dashboards.api", trouble)])
    settings = {**msgspec.to_builtins(config), "url": config.url, "files": len(files)}
    if as_json:
        click.echo(json.dumps(settings))
        return
    click.echo(f"page    {config.url}  ({len(files)} files built)")
    click.echo(f"ingest  {config.api}" + ("  answers" if connect else ""))


async def _ask_ingest(config: DashboardsConfig) -> str:
    """What is wrong with ingest's API, or nothing."""
    async with new_client(config.api) as client:
        try:
            answer = await client.get("/healthz")
        except httpx.HTTPError as trouble:
            return f"{config.api} does not answer: {trouble or type(trouble).__name__}"
    return "" if answer.is_success else f"{config.api}/healthz answers {answer.status_code}"


def _refuse(problems: Iterable[Problem]) -> None:
    for problem in sorted(problems):
        click.echo(str(problem), err=True)
    sys.exit(1)
