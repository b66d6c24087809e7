"""The front door: one command, one sub-command a room, rooms imported only when they are asked for."""

import asyncio
import importlib
import importlib.util
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any, ClassVar

import click

ROOMS = {
    "profiles": ("device_profiles.cli", "The library of device profiles: lint, show, decode."),
    "agent": ("edge_agent.cli", "We call the device: poll units over the pole's wires."),
    "gateway": ("gateway.cli", "The spool and the uplink: everything leaves through here."),
    "ingest": ("ingest.cli", "What arrives is accepted once, stored and accounted for."),
    "dashboards": ("dashboards.cli", "The live page."),
    "sim": ("firmware_sim.cli", "Devices that are not there: a street with faults."),
}
COMMANDS = {
    "pole": ("pole", "Agent and gateway in one process: the usual way to run a pole."),
    "demo": ("firmware_sim.demo", "A simulated street end to end, with the live page."),
    "ledger": ("ingest.cli", "Where every reading is; the same as `kuimen ingest ledger`."),
}

EXTRAS = {
    **dict.fromkeys(("agent", "gateway", "pole"), "pole"),
    **dict.fromkeys(("ingest", "ledger"), "centre"),
    "dashboards": "dashboards",
    **dict.fromkeys(("sim", "demo"), "sim"),
}
"""The extra that each sub-command needs."""


class FrontDoor(click.Group):
    """Imports a room only when its sub-command is called, so that a pole never loads the centre's libraries."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every room and command, whether its extra is installed or not."""
        return [*ROOMS, *COMMANDS]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The room's own command group."""
        if name == "pole":
            return pole
        if name not in ROOMS and name not in COMMANDS:
            return None
        module, _ = ROOMS.get(name) or COMMANDS[name]
        loaded = importlib.import_module(module)
        found = loaded.cli if name in ROOMS else getattr(loaded, name)
        return found if isinstance(found, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in --help, without importing a room."""
        with formatter.section("Rooms"):
            formatter.write_dl([(name, text) for name, (_, text) in ROOMS.items()])
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _load(name: str) -> click.Group:
    """A room's command group."""
    group = FrontDoor("kuimen").get_command(click.Context(FrontDoor("kuimen")), name)
    if not isinstance(group, click.Group):
        raise click.ClickException(f"there is no `kuimen {name}`")
    return group


class PoleDoor(click.Group):
    """`kuimen pole`: its own `run` and `check`, and the verbs that belong to one of its two halves."""

    BORROWED: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("read", "scan"), "agent"),
        **dict.fromkeys(("tap", "spool", "ledger", "sessions", "quarantine", "commands"), "gateway"),
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Own verbs first."""
        return [*super().list_commands(ctx), *self.BORROWED]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """An own verb, or the half's."""
        if name in self.BORROWED:
            return _load(self.BORROWED[name]).get_command(ctx, name)
        return super().get_command(ctx, name)


@click.group(cls=PoleDoor)
def pole() -> None:
    """Agent and gateway in one process: the usual way to run a pole."""


@pole.command()
@click.argument("site", type=click.Path(path_type=Path))
def run(site: Path) -> None:
    """Run the pole that SITE describes until SIGTERM or Ctrl-C; then drain and leave. SIGHUP reads SITE anew."""
    import edge_agent.config
    import edge_agent.service
    import gateway.config
    import gateway.service
    from device_profiles.problems import ConfigError, Problem
    from edge_agent.clock import SystemClock
    from edge_agent.precise_loop import new_loop
    from gateway.reloading import watch
    from gateway.watchdog import keep_alive

    def load() -> tuple[edge_agent.config.AgentConfig, gateway.config.GatewayConfig]:
        """Both halves of the site file; ConfigError with every problem in either."""
        problems: set[Problem] = set()
        halves: list[Any] = []
        for half in (edge_agent.config.load_config, gateway.config.load_config):
            try:
                halves.append(half(site))
            except ConfigError as wrong:
                problems.update(wrong.problems)
        if problems:
            raise ConfigError(problems)
        return halves[0], halves[1]

    try:
        agent_config, gateway_config = load()
    except ConfigError as wrong:
        raise SystemExit(_tell(wrong)) from None

    async def both() -> None:
        """The agent starts second and stops first, so that what it holds finds the gateway's disk."""
        clock, gateway_stop, gateway_ready = SystemClock(), asyncio.Event(), asyncio.Event()
        agent_stop = _stop_on_signals()
        to_agent: edge_agent.service.Renewals = asyncio.Queue()
        to_gateway: gateway.service.Renewals = asyncio.Queue()

        def renew(halves: tuple[edge_agent.config.AgentConfig, gateway.config.GatewayConfig]) -> None:
            gateway.service.check_renewal(gateway_config, halves[1])
            to_gateway.put_nowait(halves[1])
            to_agent.put_nowait(halves[0])

        async with asyncio.TaskGroup() as group:
            group.create_task(gateway.service.run(gateway_config, clock, gateway_stop, gateway_ready, to_gateway))
            await gateway_ready.wait()
            beside = [group.create_task(watch(site, load, renew)), group.create_task(keep_alive())]
            try:
                await edge_agent.service.run(agent_config, clock, agent_stop, renewals=to_agent)
            finally:
                for task in beside:
                    task.cancel()
                gateway_stop.set()

    found: list[Exception] = []
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(both())
    except* ConfigError as wrong:  # a spool in use, a socket taken: the operator's to mend, so no traceback
        found += wrong.exceptions
    for trouble in found:
        raise SystemExit(_tell(trouble))


def _stop_on_signals() -> asyncio.Event:
    """An event set by the first SIGTERM or SIGINT; the second one ends the process at once."""
    stop = asyncio.Event()

    def asked() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked)
    return stop


def _tell(wrong: Exception) -> int:
    """Print a ConfigError the way every room does; its exit code."""
    print(wrong, file=sys.stderr)
    return 1


@pole.command()
@click.argument("site", type=click.Path())
@click.option("--connect", is_flag=True, help="Also open the links, ask every unit once and reach the broker.")
@click.pass_context
def check(ctx: click.Context, site: str, connect: bool) -> None:
    """Check SITE for agent and gateway; with --connect on the real wires."""
    arguments = [site, *(["--connect"] if connect else [])]
    codes = [_exit_code(_load(half), ["check", *arguments]) for half in ("agent", "gateway")]
    ctx.exit(max(codes))


def _exit_code(command: click.Command, arguments: list[str]) -> int:
    """Run a half's verb in this process; its exit code."""
    try:
        command.main(arguments, standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


@click.group(cls=FrontDoor, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Log more (on stderr).")
@click.version_option(package_name="kuimen")
def cli(verbose: bool) -> None:
    """Kuimen carries readings from a lamp pole's sensors to dashboards and apps, and proves that none was lost."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for chatty in ("asyncio", "httpx", "httpcore", "pymodbus.logging"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def main() -> None:
    """The `kuimen` command; names the extra to install where a sub-command's libraries are missing."""
    try:
        cli(prog_name="kuimen")
    except ModuleNotFoundError as missing:
        name = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
        if name not in EXTRAS or importlib.util.find_spec((missing.name or "").partition(".")[0]) is not None:
            raise
        needed = f"pip install 'kuimen[{EXTRAS[name]}]'"
        print(f"`kuimen {name}` needs {missing.name}, which is not installed: {needed}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
