"""gRPC through our balancer: channels for generated stubs. Extra: `grpc`.

    import grpc

    from zkdiscovery import Client
    from zkdiscovery.integrations.grpc import channel

    from shop_pb2 import Order
    from shop_pb2_grpc import PaymentsStub

    client = Client("zk1:2181,zk2:2181,zk3:2181", namespace="/shop")
    with channel(client, "payments") as payments:
        stub = PaymentsStub(payments)
        try:
            receipt = stub.Pay(Order(id="42"), timeout=2.0)
        except grpc.RpcError as error:
            print(error.code(), error.details())

`aio_channel` is the same for `grpc.aio`. Each RPC goes to the instance that the balancer picks, and its end is reported
to the balancer: UNAVAILABLE, DEADLINE_EXCEEDED, INTERNAL, UNKNOWN and DATA_LOSS are failures, RESOURCE_EXHAUSTED means
that the instance is overloaded, CANCELLED counts neither way, and every other status is an answer.

An RPC is sent only on a connection that is ready. One whose instance can't be connected to goes to another instance;
one that was sent is never sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

import grpc
import grpc.aio

from zkdiscovery.client import Client
from zkdiscovery.discovery import ViewOptions
from zkdiscovery.integrations.grpc.aio import AioChannel
from zkdiscovery.integrations.grpc.connections import Connections, Target
from zkdiscovery.integrations.grpc.connections import Options as _Options
from zkdiscovery.integrations.grpc.sync import Channel, discard, state_of

if TYPE_CHECKING:
    from zkdiscovery.aio import AsyncClient

__all__ = ["aio_channel", "channel"]


def channel(
    client: Client,
    service: str,
    *,
    credentials: grpc.ChannelCredentials | None = None,
    options: _Options = (),
    compression: grpc.Compression | None = None,
    port: str | None = None,
    key: str | None = None,
    **view: Unpack[ViewOptions],
) -> Channel:
    """A channel to all instances of a service, for generated stubs. Never blocks.

    Args:
        client: discovers the service.
        service: its name. Servers see it as the authority, and certificates are to be made out to it; the option
            `grpc.default_authority` sets another one.
        credentials: for TLS, such as `grpc.ssl_channel_credentials(…)`; instances with a `tls_port` are called there.
            None: not encrypted.
        options: gRPC's channel arguments, for the real channel of each instance.
        compression: gRPC's, for all RPCs.
        port: name of the port in `Instance.ports` that speaks gRPC; instances without it are left out. None: `tls_port`
            or `port`.
        key: name of the metadata entry whose value is the key for balancers that send one key to one instance.
        **view: options of `Client.discover`, such as `balancer`, `where` and `ejection`.

    Returns:
        A `grpc.Channel`. Its attribute `view` is the view of the service, for `view.explain()` and `view.wait_ready()`.

    Raises:
        InvalidName: no name for a service.
        InvalidSettings: an option of the view can't be used.
        ClientClosed: the client was closed.
    """
    target = Target(service, port, options, tls=credentials is not None)

    def make(address: str) -> grpc.Channel:
        if credentials is None:
            return grpc.insecure_channel(address, target.options, compression)
        return grpc.secure_channel(address, credentials, target.options, compression)

    return Channel(Connections(target.view(client, view), target.address, make, discard, state_of), key)


def aio_channel(
    client: Client | AsyncClient,
    service: str,
    *,
    credentials: grpc.ChannelCredentials | None = None,
    options: _Options = (),
    compression: grpc.Compression | None = None,
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
    port: str | None = None,
    key: str | None = None,
    **view: Unpack[ViewOptions],
) -> AioChannel:
    """As `channel`, for `grpc.aio`. It belongs to the event loop of its first RPC.

    Args:
        client: an `AsyncClient`, or a `Client`.
        service: see `channel`.
        credentials: see `channel`.
        options: see `channel`.
        compression: see `channel`.
        interceptors: gRPC's; they run before an instance is picked, so one that tries again gets another instance.
        port: see `channel`.
        key: see `channel`.
        **view: see `channel`.

    Returns:
        A `grpc.aio.Channel`, with an attribute `view` too.

    Raises:
        InvalidName, InvalidSettings, ClientClosed: see `channel`.
    """
    target = Target(service, port, options, tls=credentials is not None)
    plain = client if isinstance(client, Client) else client.sync

    def make(address: str) -> grpc.aio.Channel:
        if credentials is None:
            return grpc.aio.insecure_channel(address, target.options, compression)
        return grpc.aio.secure_channel(address, credentials, target.options, compression)

    return AioChannel(
        lambda discard: Connections(
            target.view(plain, view), target.address, make, discard, lambda real, connect: real.get_state(connect)
        ),
        key,
        interceptors,
    )
