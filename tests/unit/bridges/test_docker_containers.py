"""Containers become instances: what real engines say of them, and which address is chosen."""

from __future__ import annotations

from typing import Any

import pytest

from tests.recorded.docker import answers, versions
from zkdiscovery.bridges.docker.containers import ends_it, imported, moment, name_of
from zkdiscovery.bridges.docker.labels import Wanted, parse
from zkdiscovery.bridges.docker.place import Place
from zkdiscovery.bridges.source import Imported
from zkdiscovery.errors import InvalidInstance
from zkdiscovery.model import Status

pytestmark = pytest.mark.parametrize("version", versions())

LOCAL = Place(lambda: "192.0.2.7", local=True)
FAR = Place(lambda: "192.0.2.7", local=False)


def listed(version: str, name: str) -> Any:
    return answers(version)["containers"]["listed"][name]


def instance(container: Any, wanted: Wanted | None = None, place: Place = FAR, *, ending: bool = False) -> Imported:
    wanted = wanted or parse(container["Labels"])
    assert wanted is not None
    return imported(container, wanted, place, ending=ending)


def address(version: str, name: str, wanted: Wanted | None = None, place: Place = FAR) -> tuple[str, int]:
    found = instance(listed(version, name), wanted, place)
    return found.address, found.port


def network_of(version: str, name: str, network: str) -> Any:
    return listed(version, name)["NetworkSettings"]["Networks"][network]


def test_all_fields(version: str) -> None:
    container = listed(version, "plain")
    wanted = Wanted("web", tags=("a",), weight=2.0, metadata={"team": "x"})
    ip = network_of(version, "plain", "bridge")["IPAddress"]
    assert instance(container, wanted) == Imported(
        "web",
        container["Id"],
        ip,
        8080,  # the only port that the image exposes
        weight=2.0,
        tags=("a",),
        metadata={"team": "x"},
        runtime=container["Id"],
    )
    assert instance(container, wanted, ending=True).status is Status.DRAINING
    assert name_of(container) == f"container plain ({container['Id'][:12]})"


def test_a_published_port_is_called_at_the_machine(version: str) -> None:
    public = listed(version, "everywhere")["Ports"][0]["PublicPort"]
    assert address(version, "everywhere") == ("192.0.2.7", public)


def test_a_port_published_on_loopback_counts_on_one_machine_alone(version: str) -> None:
    public = listed(version, "published")["Ports"][0]["PublicPort"]
    inside = network_of(version, "published", "bridge")["IPAddress"]
    assert address(version, "published", place=LOCAL) == ("127.0.0.1", public)
    assert address(version, "published") == (inside, 8080)
    with pytest.raises(InvalidInstance, match="port 8080 is not published at an address that callers"):
        address(version, "published", Wanted("web", network="host"))


def test_another_port_than_the_published_one_is_called_inside(version: str) -> None:
    assert address(version, "everywhere", Wanted("web", 9100))[1] == 9100


def test_a_label_says_that_the_address_inside_is_called(version: str) -> None:
    inside = network_of(version, "everywhere", "bridge")["IPAddress"]
    assert address(version, "everywhere", Wanted("web", network="bridge")) == (inside, 8080)


def test_host_networking(version: str) -> None:
    assert address(version, "host", Wanted("web", 8080)) == ("192.0.2.7", 8080)
    with pytest.raises(InvalidInstance, match=r"Set the label zkdiscovery\.port"):
        address(version, "host")
    with pytest.raises(InvalidInstance, match="`--network host`, and is not on the network 'backend'"):
        address(version, "host", Wanted("web", 8080, network="backend"))


def test_several_networks_are_ambiguous_until_somebody_says_which(version: str) -> None:
    with pytest.raises(InvalidInstance, match=r"several networks \(backend, frontend\): set .*zkdiscovery\.network"):
        address(version, "both")
    frontend = network_of(version, "both", "frontend")
    assert address(version, "both", Wanted("web", network="frontend")) == (frontend["IPAddress"], 8080)
    shared = Place(lambda: "192.0.2.7", shared=frozenset({frontend["NetworkID"], "another"}))
    assert address(version, "both", place=shared) == (frontend["IPAddress"], 8080)


def test_the_names_of_a_compose_projects_networks_begin_with_its_own(version: str) -> None:
    container = dict(listed(version, "both"))
    networks = container["NetworkSettings"]["Networks"]
    container["NetworkSettings"] = {"Networks": {f"shop_{name}": value for name, value in networks.items()}}
    container["Labels"] = {"com.docker.compose.project": "shop"}
    wanted = Wanted("web", network="backend")
    assert instance(container, wanted).address == networks["backend"]["IPAddress"]


def test_a_network_that_it_is_not_on(version: str) -> None:
    with pytest.raises(InvalidInstance, match=r"no address on the network 'other', only on backend, frontend"):
        address(version, "both", Wanted("web", network="other"))


def test_no_network_at_all(version: str) -> None:
    with pytest.raises(InvalidInstance, match="on no network where it has an address of its own"):
        address(version, "alone", Wanted("web", 8080))


def test_ipv6_is_taken_where_there_is_no_ipv4(version: str) -> None:
    container = dict(listed(version, "everywhere"))
    container["Ports"] = [port for port in container["Ports"] if ":" in port["IP"]]
    container["Ports"][0] = {**container["Ports"][0], "IP": "2001:db8::5"}
    assert instance(container).address == "2001:db8::5"


def test_the_list_of_the_healthy_leaves_out_those_that_ended(version: str) -> None:
    healthy = answers(version)["containers"]["healthy"]
    assert "plain" in healthy
    assert not {"published", "beside"} & set(healthy)  # just started again, and failed


def test_a_signal_that_ends_a_container_and_one_that_does_not(version: str) -> None:
    said = answers(version)["containers"]
    hang_up, terminate = [event for event in said["events"] if event["Action"] == "kill"]
    details = said["inspected"]["plain"]
    for event, ends in ((hang_up, False), (terminate, True)):
        number = event["Actor"]["Attributes"]["signal"]
        assert ends_it(number, details, event["timeNano"] / 1e9) is ends
    began = moment(details["State"]["StartedAt"])
    assert began > 1e9
    assert not ends_it("15", details, began - 1)  # the run before
    assert not ends_it("15", {}, began + 1)  # it is gone


@pytest.mark.parametrize(("wanted", "number"), [("SIGQUIT", 3), ("WINCH", 28), ("28", 28), ("SIGRTMIN+3", 37)])
def test_the_signal_that_an_image_wants_for_its_stop(version: str, wanted: str, number: int) -> None:
    details = dict(answers(version)["containers"]["inspected"]["plain"])
    details["Config"] = {**details["Config"], "StopSignal": wanted}
    now = moment(details["State"]["StartedAt"]) + 1
    assert ends_it(str(number), details, now)
    assert not ends_it("1", details, now)
