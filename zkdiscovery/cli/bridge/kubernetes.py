"""`bridge kubernetes`: follow the Services of a Kubernetes cluster, and show it ours."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from zkdiscovery.cli.bridge.run import run_bridges
from zkdiscovery.cli.context import Cli

if TYPE_CHECKING:
    from zkdiscovery import Client
    from zkdiscovery.bridges import Source


def kubernetes(
    ctx: typer.Context,
    *,
    kube_namespace: Annotated[
        str | None,
        typer.Option(
            "-n",
            "--kube-namespace",
            help="Namespace of Kubernetes to follow and to export to; that of the context if not given.",
            metavar="NAMESPACE",
            show_default=False,
        ),
    ] = None,
    all_namespaces: Annotated[
        bool, typer.Option("-A", "--all-namespaces", help="Follow all namespaces; names are SERVICE.NAMESPACE.")
    ] = False,
    context: Annotated[
        str | None,
        typer.Option(
            help="Context of kubeconfig; if not given, the current one, or the service account of this pod.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    export: Annotated[bool, typer.Option("--export", help="Make our services Services of the namespace, too.")] = False,
) -> None:
    """Follow the Services of a Kubernetes cluster until Ctrl-C or SIGTERM."""
    cli: Cli = ctx.obj
    if find_spec("kubernetes") is None:
        raise typer.BadParameter("this needs the extra: pip install 'zkdiscovery[cli,kubernetes]'")
    if all_namespaces and kube_namespace is not None and not export:
        raise typer.BadParameter("can't be combined with --all-namespaces", param_hint="-n")
    from zkdiscovery.bridges.kubernetes import (  # noqa: PLC0415 - loads all of the SDK and of the client
        ExportingKubernetesSource,
        KubernetesSource,
    )
    from zkdiscovery.bridges.registry import registry_id  # noqa: PLC0415 - loaded by the above

    def make(client: Client) -> list[Source]:
        if not export:
            return [KubernetesSource(kube_namespace, all_namespaces=all_namespaces, context=context)]

        def registry() -> str:
            return registry_id(client.slot.current())

        return [
            ExportingKubernetesSource(registry, kube_namespace, all_namespaces=all_namespaces, context=context),
        ]

    run_bridges(cli, make)
