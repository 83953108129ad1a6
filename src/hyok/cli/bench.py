"""`hyok bench`: how fast an HSM and a gateway are here, and how that compares with elsewhere."""

from __future__ import annotations

import typer

from hyok.cli import bench_compare, bench_gateway, bench_hsm

app = typer.Typer(help="Measure an HSM or a gateway.", no_args_is_help=True)
app.command("hsm")(bench_hsm.hsm)
app.command("gateway")(bench_gateway.gateway)
app.command("compare")(bench_compare.compare)
