"""Each server by itself, outside any session: name, TCP, TLS, and what it reports of itself.

All servers are asked side by side, each on a thread of its own, because resolving a name can't be interrupted.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from typing import Any

from zkdiscovery.cli.doctor.report import Finding, milliseconds, problem
from zkdiscovery.session import ServerInfo, probe_server
from zkdiscovery.validation import join_host_port

_OLDEST = (3, 6)  # version of ZooKeeper
# A server that refuses by closing may do so before, while or after we write.
_HANGS_UP = (BrokenPipeError, ConnectionAbortedError, ConnectionResetError)
_EXTRA = 3.0  # seconds for resolving a name, beyond the time limits of a connection and an answer


def examine_hosts(
    addresses: Sequence[tuple[str, int]], *, timeout: float, context: ssl.SSLContext | None
) -> list[Finding]:
    """One finding for each server, and one more if they do not fit together.

    Args:
        addresses: host and port of each.
        timeout: seconds for a connection, and again for an answer.
        context: the TLS context; None for plain TCP.
    """
    found: dict[int, Finding] = {}

    def examine(index: int, host: str, port: int) -> None:
        found[index] = _examine(host, port, timeout, context)

    threads = [
        threading.Thread(target=examine, args=(index, *address), name="zkdiscovery-doctor", daemon=True)
        for index, address in enumerate(addresses)
    ]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 2 * timeout + _EXTRA
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    findings = [
        found.get(index) or problem(_name(*address), "its name is not resolved in time", "look at the name service")
        for index, address in enumerate(addresses)
    ]
    return [*findings, *_ensemble(findings)]


def _name(host: str, port: int) -> str:
    return f"host {join_host_port(host, port)}"


def _examine(host: str, port: int, timeout: float, context: ssl.SSLContext | None) -> Finding:
    name = _name(host, port)
    start = time.monotonic()
    try:
        socket.create_connection((host, port), timeout=timeout).close()
    except _HANGS_UP as error:  # it took the connection and closed it before we saw that it was there
        return problem(name, f"it hangs up: {error}", _hung_up(context))
    except (OSError, UnicodeError) as error:
        return problem(name, *_unreachable(error, timeout))
    tcp = time.monotonic() - start
    try:
        info = probe_server(host, port, timeout=timeout, context=context)
    except OSError as error:
        found, advice = _no_answer(error, timeout, context)
        return problem(name, f"TCP connection in {milliseconds(tcp)}, but {found}", advice, tcp=tcp)
    return _interpret(name, tcp, info, context)


def _unreachable(error: OSError | UnicodeError, timeout: float) -> tuple[str, str]:
    """Return what it means that there is no TCP connection, and what to do."""
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return f"its name can't be resolved: {error}", "correct the name in --hosts or ZKDISCOVERY_HOSTS"
    if isinstance(error, ConnectionRefusedError):
        return "TCP connection refused: nothing listens there", "start the server, or correct host and port"
    if isinstance(error, TimeoutError):
        return (
            f"no TCP connection within {timeout:g} s",
            "is the machine up, and does no firewall stand between? if it is far away: ZKDISCOVERY_CONNECT_TIMEOUT",
        )
    return f"no TCP connection: {error}", "correct host and port, or the route to it"


def _no_answer(error: OSError, timeout: float, context: ssl.SSLContext | None) -> tuple[str, str]:
    """Return what it means that a server takes a connection and gives no answer, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is refused: {error.verify_message}",
            "give the authority as ZKDISCOVERY_TLS__CA_FILE, and the host name that the certificate has in --hosts",
        )
    if isinstance(error, ssl.SSLError):
        return (
            f"no TLS: {error}",
            "is it the plain port? does the server ask for a certificate (ZKDISCOVERY_TLS__CERT_FILE)?",
        )
    if isinstance(error, TimeoutError):
        return (
            f"no answer within {timeout:g} s",
            "the server hangs, or something between swallows what is sent"
            + ("" if context else "; or it is a TLS port (ZKDISCOVERY_TLS__CA_FILE)"),
        )
    return f"it hangs up: {error}", _hung_up(context)


def _hung_up(context: ssl.SSLContext | None) -> str:
    """Return what to do about a server that takes a connection and closes it without an answer."""
    other_port = "the right port?" if context else "the right port, and no TLS port (ZKDISCOVERY_TLS__CA_FILE)?"
    return (
        "are there too many connections to it from this address (maxClientCnxns, 60 if not set)? its log says so;"
        f" else: is it {other_port}"
    )


def _interpret(name: str, tcp: float, info: ServerInfo, context: ssl.SSLContext | None) -> Finding:
    if "whitelist" in info.text:
        return Finding(
            name,
            f"answers in {milliseconds(info.latency)}; it does not tell its version"
            " (`srvr` is not in its 4lw.commands.whitelist)",
            data={"tcp": tcp, "latency": info.latency},
        )
    if not info.text:
        return problem(
            name,
            f"TCP connection in {milliseconds(tcp)}, but it hangs up without an answer",
            _hung_up(context),
            tcp=tcp,
        )
    if not info.mode:
        if "not currently serving" in info.text:
            return problem(
                name, "it runs, but does not serve: no quorum", "start the other servers of the ensemble", tcp=tcp
            )
        return problem(
            name,
            f"TCP connection in {milliseconds(tcp)}, but the answer is not one of ZooKeeper",
            "is it the right port" + ("?" if context else ", and no TLS port (ZKDISCOVERY_TLS__CA_FILE)?"),
            tcp=tcp,
        )
    connections = _number("Connections", info.text)
    outstanding = _number("Outstanding", info.text)
    data: dict[str, Any] = {
        "version": info.version, "mode": info.mode, "zxid": info.zxid, "tls": context is not None, "tcp": tcp,
        "latency": info.latency, "connections": connections, "outstanding": outstanding,
    }  # fmt: skip
    found = (
        f"ZooKeeper {info.version}, {info.mode}, answers{' over TLS' if context else ''} in"
        f" {milliseconds(info.latency)} (TCP {milliseconds(tcp)}), {connections} connections"
    )
    if tuple(int(part) for part in info.version.split(".") if part)[:2] < _OLDEST:
        return problem(name, f"{found}: too old", "upgrade it to ZooKeeper 3.6 or later", **data)
    return Finding(name, found, data=data)


def _number(name: str, text: str) -> int | None:
    found = re.search(rf"^{name}: (\d+)", text, re.MULTILINE)
    return int(found[1]) if found else None


def _ensemble(findings: Sequence[Finding]) -> list[Finding]:
    """Do the servers belong together?"""
    modes = [finding.data["mode"] for finding in findings if "mode" in finding.data]
    if modes.count("leader") > 1 or ("standalone" in modes and len(modes) > 1):
        return [
            problem(
                "ensemble",
                f"the servers do not belong to one ensemble: {', '.join(modes)}",
                "each of them has data of its own; give the servers of one ensemble only",
            )
        ]
    return []
