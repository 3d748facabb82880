"""TLS under gRPC channels: the certificate is the service's, wherever its instances are."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.conftest import MakeClient
from tests.faults.security.helpers import Authority, Pair
from tests.integration.integrations.grpc_servers import Server, say, stub
from tests.support import LIMIT
from zkdiscovery.integrations.grpc import aio_channel, channel


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl, to make certificates")
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


def of_server(pair: Pair) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials([(pair.key.read_bytes(), pair.certificate.read_bytes())])


def of_client(authority: Authority) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(Path(authority.certificate).read_bytes())


class Token(grpc.AuthMetadataPlugin):
    """Credentials of a call."""

    def __call__(self, context: Any, callback: Any) -> None:
        callback((("authorization", "token"),), None)


@pytest.mark.parametrize("tls_port", [False, True])
def test_the_certificate_of_the_service(make_client: MakeClient, authority: Authority, tls_port: bool) -> None:
    server = Server("a", of_server(authority.sign("echo")))
    client = make_client()
    ports = {"port": 1, "tls_port": server.port} if tls_port else {"port": server.port}
    client.register("echo", id="a", **ports).wait_registered(LIMIT)
    credentials = of_client(authority)
    with channel(client, "echo", credentials=credentials) as echo:
        assert stub(echo).One(say(), credentials=grpc.metadata_call_credentials(Token())).server == "a"
        assert list(stub(echo).Many(say(times=1), credentials=grpc.metadata_call_credentials(Token())))
    assert [metadata["authorization"] for metadata in server.echo.metadata] == ["token"] * 2

    async def main() -> None:
        async with aio_channel(client, "echo", credentials=credentials) as echo:
            for _ in range(2):
                call = stub(echo).One(say(), credentials=grpc.metadata_call_credentials(Token()))
                assert (await call).server == "a"

    asyncio.run(main())
    assert [metadata["authorization"] for metadata in server.echo.metadata] == ["token"] * 4
    server.stop().wait()


def test_another_name_in_the_certificate(make_client: MakeClient, authority: Authority) -> None:
    server = Server("a", of_server(authority.sign("pay.example")))
    client = make_client()
    server.register(client)
    credentials = of_client(authority)
    with channel(client, "echo", credentials=credentials) as echo, pytest.raises(grpc.RpcError) as raised:
        stub(echo).One(say())
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    for option in ("grpc.default_authority", "grpc.ssl_target_name_override"):
        with channel(client, "echo", credentials=credentials, options=[(option, "pay.example")]) as echo:
            assert stub(echo).One(say()).server == "a"
    server.stop().wait()
