"""FaultProxy before a plain echo server: each fault, and that it is in force when its method has returned."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

import pytest

from zkdiscovery.errors import OperationTimeout
from zkdiscovery.testing import FaultProxy
from zkdiscovery.testing.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
from tests.unit.testing.echo import LIMIT, EchoServer, assert_closed, assert_silent, connect, receive


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    server = EchoServer()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: EchoServer) -> Iterator[FaultProxy]:
    with FaultProxy(echo.address) as proxy:
        yield proxy


def test_passes_bytes_both_ways_and_counts_them(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        client.sendall(b"hello")
        assert receive(client, 5) == b"hello"
        assert proxy.connections == 1
        assert proxy.accepted == 1
        assert proxy.bytes_passed == {"client_to_server": 5, "server_to_client": 5}
    proxy.wait_connections(0)


def test_a_megabyte_arrives_whole(proxy: FaultProxy) -> None:
    sent = os.urandom(3 * 1024 * 1024)
    with connect(proxy) as client:
        sender = threading.Thread(target=client.sendall, args=(sent,))
        sender.start()
        assert receive(client, len(sent)) == sent
        sender.join(LIMIT)


def test_a_receiver_that_does_not_read_makes_the_sender_wait_and_loses_nothing(proxy: FaultProxy) -> None:
    sent = bytes(range(256)) * (256 * 1024)  # 64 MiB, more than all buffers on the way
    with connect(proxy) as client:
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.sendall(sent)
        client.settimeout(LIMIT)
        held = proxy.bytes_passed["client_to_server"]
        assert held < len(sent)
        assert receive(client, held) == sent[:held]


def test_a_reset_ends_the_connection_on_the_other_side(proxy: FaultProxy, echo: EchoServer) -> None:
    with connect(proxy) as client:
        client.sendall(b"1")
        assert receive(client, 1) == b"1"
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    echo.wait_ended(1)
    proxy.wait_connections(0)


def test_a_server_that_resets_ends_the_client(proxy: FaultProxy, echo: EchoServer) -> None:
    with connect(proxy) as client:
        client.sendall(b"1")
        assert receive(client, 1) == b"1"
        server_side = echo.connections[0]
        server_side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server_side.shutdown(socket.SHUT_RD)
        server_side.close()
        assert_closed(client)


def test_the_end_of_one_side_reaches_the_other(proxy: FaultProxy, echo: EchoServer) -> None:
    with connect(proxy) as client:
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        assert receive(client, 100) == b"last words"
    echo.wait_ended(1)


def test_drop_closes_connections_and_accepts_new_ones(proxy: FaultProxy, echo: EchoServer) -> None:
    with connect(proxy) as first:
        first.sendall(b"1")
        assert receive(first, 1) == b"1"
        proxy.drop()
        assert proxy.connections == 0
        assert_closed(first)
        echo.wait_ended(1)
    with connect(proxy) as second:
        second.sendall(b"2")
        assert receive(second, 1) == b"2"
    assert proxy.accepted == 2


def test_refuse_keeps_the_port_until_heal(proxy: FaultProxy) -> None:
    with connect(proxy) as first:
        first.sendall(b"1")
        assert receive(first, 1) == b"1"
        proxy.refuse()
        assert_closed(first)
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", int(proxy.address.split(":")[1])))
    for _ in range(3):
        proxy.refuse()
        proxy.heal()
        with connect(proxy) as second:
            second.sendall(b"2")
            assert receive(second, 1) == b"2"


def test_pause_holds_bytes_and_heal_lets_them_flow(proxy: FaultProxy, echo: EchoServer) -> None:
    with connect(proxy) as client:
        client.sendall(b"before")
        assert receive(client, 6) == b"before"
        proxy.pause()
        client.sendall(b" during")
        assert_silent(client)
        echo.wait_received(b"before")
        proxy.heal()
        assert receive(client, 7) == b" during"
        echo.wait_received(b"before during")


def test_pause_holds_what_is_already_read(proxy: FaultProxy, echo: EchoServer) -> None:
    def pause(chunk: bytes) -> bytes:
        proxy.pause()
        return chunk

    with connect(proxy) as client:
        proxy.alter("client_to_server", pause)
        client.sendall(b"late")
        assert_silent(client)
        assert echo.received == b""
        proxy.heal()
        assert receive(client, 4) == b"late"


def test_a_connection_made_during_a_pause_works_after_heal(proxy: FaultProxy, echo: EchoServer) -> None:
    proxy.pause()
    with connect(proxy) as client:
        client.sendall(b"early")
        proxy.wait_connections(1)
        assert echo.connections == []
        proxy.heal()
        assert receive(client, 5) == b"early"


def test_a_client_that_leaves_during_a_pause_is_noticed(proxy: FaultProxy, echo: EchoServer) -> None:
    with connect(proxy) as client:
        client.sendall(b"1")
        assert receive(client, 1) == b"1"
        proxy.pause()
        client.sendall(b"2")
    proxy.wait_connections(0)
    assert echo.ended == 0
    proxy.heal()
    echo.wait_received(b"12")
    echo.wait_ended(1)


def test_blackhole_swallows_and_heal_closes_what_has_a_hole(proxy: FaultProxy, echo: EchoServer) -> None:
    with connect(proxy) as client, connect(proxy) as quiet:
        for each in (client, quiet):
            each.sendall(b"1")
            assert receive(each, 1) == b"1"
        proxy.blackhole()
        client.sendall(b"lost")
        assert_silent(client)
        assert proxy.connections == 2
        proxy.heal()
        assert_closed(client)
        quiet.sendall(b"2")
        assert receive(quiet, 1) == b"2"
    echo.wait_received(b"112")


def test_blackhole_swallows_what_was_held(proxy: FaultProxy, echo: EchoServer) -> None:
    with connect(proxy) as client:
        client.sendall(b"1")
        assert receive(client, 1) == b"1"
        proxy.pause()
        client.sendall(b"held")
        assert_silent(client)
        proxy.blackhole()
        proxy.heal()
        assert_closed(client)
    echo.wait_received(b"1")


def test_a_client_that_leaves_a_blackhole_is_noticed_and_the_server_is_not_told(
    proxy: FaultProxy, echo: EchoServer
) -> None:
    with connect(proxy) as client:
        client.sendall(b"1")
        assert receive(client, 1) == b"1"
        proxy.blackhole()
    proxy.wait_connections(0)
    assert echo.ended == 0
    proxy.heal()
    echo.wait_ended(1)


def test_half_open_to_the_server(proxy: FaultProxy, echo: EchoServer) -> None:
    proxy.half_open("client_to_server")
    with connect(proxy) as client:
        client.sendall(b"heard")
        echo.wait_received(b"heard")
        assert_silent(client)
        proxy.heal()
        assert receive(client, 5) == b"heard"


def test_half_open_to_the_client(proxy: FaultProxy, echo: EchoServer) -> None:
    with connect(proxy) as client:
        client.sendall(b"1")
        assert receive(client, 1) == b"1"
        proxy.half_open("server_to_client")
        client.sendall(b"unheard")
        echo.connections[0].sendall(b"news")
        assert receive(client, 4) == b"news"
        echo.wait_received(b"1")
        proxy.heal()
        assert receive(client, 7) == b"unheard"


def test_half_open_refuses_another_direction(proxy: FaultProxy) -> None:
    with pytest.raises(ValueError, match="client_to_server, server_to_client"):
        proxy.half_open("upwards")  # type: ignore[arg-type]


def test_delay_delays_each_direction_in_order(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        proxy.delay(0.1)
        start = time.monotonic()
        client.sendall(b"slow")
        assert receive(client, 4) == b"slow"
        assert time.monotonic() - start >= 0.2
        client.sendall(b"a")
        proxy.delay(0)
        client.sendall(b"b")
        assert receive(client, 2) == b"ab"


def test_heal_lets_delayed_bytes_go_at_once(proxy: FaultProxy, echo: EchoServer) -> None:
    with connect(proxy) as client:
        client.sendall(b"1")
        assert receive(client, 1) == b"1"
        proxy.delay(3600)
        echo.connections[0].sendall(b"waiting")
        assert_silent(client)
        proxy.heal()
        assert receive(client, 7) == b"waiting"


def test_alter_changes_or_swallows_one_direction(proxy: FaultProxy, echo: EchoServer) -> None:
    with connect(proxy) as client:
        proxy.alter("server_to_client", bytes.upper)
        client.sendall(b"quiet")
        assert receive(client, 5) == b"QUIET"
        echo.wait_received(b"quiet")
        proxy.alter("server_to_client", lambda chunk: b"")
        client.sendall(b"?")
        echo.wait_received(b"quiet?")
        assert_silent(client)
        proxy.heal()
        client.sendall(b"again")
        assert receive(client, 5) == b"again"


def test_alter_may_drop_the_connection_itself(proxy: FaultProxy) -> None:
    def cut(chunk: bytes) -> bytes:
        proxy.drop()
        return chunk

    with connect(proxy) as client:
        proxy.alter("server_to_client", cut)
        client.sendall(b"1")
        assert_closed(client)
        proxy.wait_connections(0)


def test_a_transform_that_raises_breaks_the_connection(proxy: FaultProxy, caplog: pytest.LogCaptureFixture) -> None:
    def fail(chunk: bytes) -> bytes:
        raise ZeroDivisionError

    with connect(proxy) as client:
        proxy.alter("client_to_server", fail)
        client.sendall(b"1")
        assert_closed(client)
    assert "transform failed" in caplog.text
    with connect(proxy) as client:
        proxy.heal()
        client.sendall(b"2")
        assert receive(client, 1) == b"2"


def test_a_target_that_is_not_there_closes_the_client() -> None:
    with FaultProxy(f"127.0.0.1:{free_port()}") as proxy, connect(proxy) as client:
        assert_closed(client)
        proxy.wait_connections(0)


def test_wait_connections_gives_up(proxy: FaultProxy) -> None:
    with pytest.raises(OperationTimeout, match=r"0 connections .* not 1"):
        proxy.wait_connections(1, timeout=0.01)


def test_close_closes_all_and_may_be_called_again(echo: EchoServer) -> None:
    with FaultProxy(echo.address) as proxy:
        client = connect(proxy)
        proxy.wait_connections(1)
        assert "flow" in repr(proxy)
        proxy.close()
        with client:
            assert_closed(client)
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
        assert "closed" in repr(proxy)
        with pytest.raises(RuntimeError, match="closed"):
            proxy.drop()
    assert proxy.connections == 0


def test_a_drop_reaches_the_client_though_a_forked_child_has_a_copy(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        proxy.wait_connections(1)
        hold, release = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(release)
            os.read(hold, 1)
            os._exit(0)
        try:
            proxy.drop()
            assert_closed(client)
        finally:
            os.close(release)
            os.close(hold)
            os.waitpid(child, 0)


@pytest.mark.parametrize("target", ["nowhere", "127.0.0.1:0", "127.0.0.1:99999", ":2181", "127.0.0.1:x"])
def test_refuses_a_target_that_is_no_address(target: str) -> None:
    if target == "nowhere":
        with pytest.raises(OSError):
            FaultProxy("host.invalid:2181")
    else:
        with pytest.raises(ValueError, match="is not host:port"):
            FaultProxy(target)
