"""``kuimen profiles``: look at the library, check it, decode a frame by hand. Data on stdout, problems on stderr."""

import json
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import msgspec

from device_profiles.decoding import Decoded, DecodingError, decode_rtu, decode_tcp, split_rtu, split_tcp
from device_profiles.decoding_profiles import decode_frame
from device_profiles.lint import lint as lint_files
from device_profiles.loader import load_library
from device_profiles.problems import ConfigError, Problems, nearest
from device_profiles.profiles import BusMap, DeviceProfile, ModbusMap, Point, ProtocolMap, RegisterPoint

as_json = click.option("--json", "json_", is_flag=True, help="Print JSON.")
libraries = click.option(
    "--library",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A further folder of profiles; may be given more than once.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """The library of device profiles."""


@cli.command("list")
@libraries
@as_json
def list_(folders: Sequence[Path], json_: bool) -> None:
    """List every model."""
    profiles = sorted(_library(folders).values(), key=lambda profile: (profile.domain, profile.model))
    if json_:
        rows = [
            {
                "model": p.model,
                "version": p.version,
                "vendor": p.vendor,
                "title": p.title,
                "domain": p.domain,
                "component": p.component,
                "status": p.status,
                "points": len(p.points),
            }
            for p in profiles
        ]
        _print_json(rows)
        return
    lines = [(p.domain, p.model, p.status, f"{len(p.points)} points", p.title["en"]) for p in profiles]
    _print_table(lines)


@cli.command()
@click.argument("model")
@libraries
@as_json
def show(model: str, folders: Sequence[Path], json_: bool) -> None:
    """Show one MODEL: its points, caveats and sources."""
    profile = _find(_library(folders), model)
    if json_:
        _print_json({"protocol": profile.protocol, **_shown(msgspec.to_builtins(profile, enc_hook=_plain))})
        return
    click.echo(f"{profile.model}  version {profile.version}  {profile.status}  ({profile.path})")
    click.echo(f"{profile.vendor}: {profile.title['en']} · {profile.title['zh']}")
    click.echo(f"{profile.domain}, component {profile.component}; {_manners(profile.map)}")
    click.echo()
    _print_table([_point_row(point) for point in profile.points])
    for avoid in profile.map.avoid if isinstance(profile.map, ModbusMap) else ():
        click.echo(f"never read {avoid.table} {avoid.first} to {avoid.last}: {avoid.why}")
    for heading, texts in (("caveats", profile.caveats), ("sources", profile.sources)):
        click.echo(f"\n{heading}")
        for text in texts:
            click.echo(f"  - {text}")


@cli.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@as_json
def lint(paths: Sequence[Path], json_: bool) -> None:
    """Check profiles (files or folders; without any, the whole library) and hold their examples against the codec."""
    problems = Problems()
    count = lint_files(paths, problems)
    found = sorted(problems.found)
    if json_:
        _print_json({"profiles": count, "problems": [msgspec.to_builtins(problem) for problem in found]})
    else:
        for problem in found:
            click.echo(problem, err=True)
        click.echo(f"{count} profiles, {len(found)} problems")
    if found:
        sys.exit(1)


@cli.command()
@click.argument("what", metavar="MODEL|modbus-rtu|modbus-tcp")
@click.argument("frames", nargs=-1, required=True, metavar="HEX...")
@click.option("--tcp", is_flag=True, help="The frames of a MODEL are Modbus TCP, not RTU.")
@libraries
@as_json
def decode(what: str, frames: Sequence[str], tcp: bool, folders: Sequence[Path], json_: bool) -> None:
    """Decode frames: what a device of MODEL sent, or for Modbus a request's bytes and then its reply's.

    A Modbus reply alone does not say which registers it carries. With modbus-rtu or modbus-tcp the registers are shown
    as they are; with a MODEL they become values. Bytes may be spaced and quoted as you like.
    """
    data = _bytes(frames)
    profile = None if what in ("modbus-rtu", "modbus-tcp") else _find(_library(folders), what)
    try:
        if profile is not None and profile.protocol != "modbus":
            decoded = decode_frame(profile, data)
        elif what == "modbus-tcp" or tcp:
            decoded = decode_tcp(*split_tcp(data), profile)
        else:
            decoded = decode_rtu(*split_rtu(data), profile)
    except DecodingError as trouble:
        click.echo(f"no: {trouble}", err=True)
        sys.exit(1)
    if json_:
        _print_json(msgspec.to_builtins(decoded))
    else:
        _print_decoded(decoded)


def _print_decoded(decoded: Decoded) -> None:
    click.echo(f"unit {decoded.unit}, {decoded.asked}" if decoded.unit != "" else decoded.asked)
    if decoded.exception:
        click.echo(f"the unit refuses: exception {decoded.exception}")
    _print_table([(row.name, row.text, row.unit, row.quality, row.reason, row.raw) for row in decoded.rows])


def _library(folders: Sequence[Path]) -> dict[str, DeviceProfile]:
    """Every profile; prints every problem and ends with 1 when there is any."""
    try:
        return load_library(folders)
    except ConfigError as wrong:
        click.echo(wrong, err=True)
        sys.exit(1)


def _find(profiles: dict[str, DeviceProfile], model: str) -> DeviceProfile:
    if model not in profiles:
        hint = nearest(model, profiles)
        click.echo(f"no profile is called {model!r}" + (f" ({hint})" if hint else ""), err=True)
        sys.exit(1)
    return profiles[model]


def _bytes(frames: Sequence[str]) -> bytes:
    """Hexadecimal; or a frame that is text (HJ 212) as it is, with its line end."""
    text = " ".join(frames)
    if text.startswith("##"):
        return text.strip().encode() + b"\r\n"
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise click.BadParameter(f"no hexadecimal: {text}", param_hint="HEX") from None


def _manners(map_: ProtocolMap) -> str:
    """How a model is spoken to, in one line: the protocol, and every setting of its map that is a plain value."""
    if isinstance(map_, ModbusMap):
        line = f"{map_.line.baud} 8{map_.line.parity}{map_.line.stop}"
        return f"unit {map_.unit}, {line}, at most {map_.max_block} registers a read"
    line = f", {map_.line.baud} 8{map_.line.parity}{map_.line.stop}" if isinstance(map_, BusMap) else ""
    return map_.protocol + line + "".join(f", {name} {value}" for name, value in _own_fields(map_, ProtocolMap))


def _own_fields(data: msgspec.Struct, general: type[msgspec.Struct]) -> list[tuple[str, object]]:
    """(name, value) of the plain settings that a protocol adds to what every protocol has."""
    names = [name for name in data.__struct_fields__ if name not in general.__struct_fields__]
    values = [(name, getattr(data, name)) for name in names]
    return [(name, value) for name, value in values if isinstance(value, (str, int, Fraction)) and value != ""]


def _point_row(point: Point) -> tuple[str, ...]:
    span = "" if point.range is None else f"{point.range[0]:g} to {point.range[1]:g}"
    if isinstance(point, RegisterPoint):
        where, kind = _register(point)
    else:
        where, kind = " ".join(f"{name} {value}" for name, value in _own_fields(point, Point)), ""
    return point.name, where, kind, point.unit, span, point.title["zh"]


def _register(point: RegisterPoint) -> tuple[str, str]:
    scale = "" if point.scale == 1 else f"×{float(point.scale):g}"
    offset = "" if point.offset == 0 else f"{float(point.offset):+g}"
    mask = "" if point.mask is None else f"&{point.mask:#06x}"
    order = point.order if point.registers > 1 or point.order != "ABCD" else ""
    where = f"{point.table} {point.address}" + (f" ({point.address:#06x})" if point.address > 999 else "")
    return where, " ".join(part for part in (point.type, order, mask, scale + offset) if part)


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def _shown(value: Any) -> Any:
    """Without the look-up tables that a map makes for itself (their keys are no texts)."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if not isinstance(item, dict) or all(map(_is_text, item))}
        return {key: _shown(item) for key, item in kept.items()}
    return [_shown(item) for item in value] if isinstance(value, (list, tuple)) else value


def _is_text(key: object) -> bool:
    return isinstance(key, str)


def _plain(value: Any) -> Any:
    """What msgspec cannot turn into JSON by itself: fractions become numbers."""
    return float(value)
