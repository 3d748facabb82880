"""Tasks of Swarm services become instances: what real managers say of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.recorded.docker import answers, versions
from zkdiscovery.bridges.docker.labels import Wanted, parse
from zkdiscovery.bridges.docker.place import Place
from zkdiscovery.bridges.docker.tasks import container_of, has_ended, imported, labels_of, runs
from zkdiscovery.bridges.source import Imported
from zkdiscovery.errors import InvalidInstance
from zkdiscovery.model import Status

pytestmark = pytest.mark.parametrize("version", versions())


def nothing() -> str:
    raise AssertionError("the bridge's machine is not the node's")


LOCAL = Place(nothing, local=True)
FAR = Place(nothing, local=False)


def service_of(version: str, name: str) -> Any:
    return next(each for each in answers(version)["services"] if each["Spec"]["Name"] == name)


def tasks_of(version: str, name: str) -> list[Any]:
    number = service_of(version, name)["ID"]
    return [each for each in answers(version)["tasks"] if each["ServiceID"] == number]


def instance(version: str, name: str, wanted: Wanted, place: Place = LOCAL, task: Any = None) -> Imported:
    task = task or tasks_of(version, name)[0]
    return imported(task, service_of(version, name), answers(version)["nodes"][0], wanted, place)


def test_labels_of_the_service_are_above_those_of_the_container(version: str) -> None:
    wanted = parse(labels_of(service_of(version, "overlaid"), tasks_of(version, "overlaid")[0]))
    assert wanted == Wanted("web", 8080)  # the service's name, the container's port
    wanted = parse(labels_of(service_of(version, "hosted"), tasks_of(version, "hosted")[0]))
    assert wanted == Wanted("web", tags=("a", "b"))


def test_an_address_on_an_overlay_network(version: str) -> None:
    task = tasks_of(version, "overlaid")[0]
    address = task["NetworksAttachments"][0]["Addresses"][0].partition("/")[0]
    assert instance(version, "overlaid", Wanted("web", 8080)) == Imported(
        "web", task["ID"], address, 8080, runtime=container_of(task)
    )


def test_the_network_of_the_ingress_is_no_address(version: str) -> None:
    task = tasks_of(version, "ingress")[0]
    inside = next(
        each["Addresses"][0] for each in task["NetworksAttachments"] if each["Network"]["Spec"]["Name"] == "swarmed"
    )
    found = instance(version, "ingress", Wanted("web", 8080))
    assert (found.address, found.port) == (inside.partition("/")[0], 8080)


def test_a_host_mode_port_for_each_task(version: str) -> None:
    found = [instance(version, "hosted", Wanted("web", 8080), task=task) for task in tasks_of(version, "hosted")]
    assert len({each.port for each in found}) == len(found) == 2
    assert {each.address for each in found} == {"127.0.0.1"}
    assert all(each.port >= 30_000 for each in found)


def test_host_networking_of_a_task(version: str) -> None:
    found = instance(version, "onhost", Wanted("web", 8080))
    assert (found.address, found.port) == ("127.0.0.1", 8080)


def test_a_node_that_advertises_loopback_is_told(version: str) -> None:
    with pytest.raises(InvalidInstance, match=r"address of the node \S+ is 127\.0\.0\.1, .*--advertise-addr"):
        instance(version, "onhost", Wanted("web", 8080), FAR)


def test_a_task_without_a_port(version: str) -> None:
    with pytest.raises(InvalidInstance, match=r"Set the label zkdiscovery\.port"):
        instance(version, "overlaid", Wanted("web"))


def test_a_task_drains_from_its_desired_state_on(version: str) -> None:
    task = answers(version)["draining"][0]
    assert runs(task, nodes(version))
    assert instance(version, "hosted", Wanted("web", 8080), task=task).status is Status.DRAINING


def test_a_task_that_ended_runs_no_more(version: str) -> None:
    task = answers(version)["ended"][0]
    assert not runs(task, nodes(version))
    assert has_ended(task)
    assert container_of(task) == container_of(answers(version)["draining"][0])


def test_a_task_on_a_node_that_is_lost_runs_no_more(version: str) -> None:
    task = tasks_of(version, "hosted")[0]
    assert runs(task, nodes(version))
    assert not runs(task, nodes(version, State="down"))
    assert not runs(task, {})
    assert not has_ended(task)  # nobody knows


def test_the_address_of_a_manager_that_does_not_know_its_own(version: str) -> None:
    node = nodes(version, Addr="0.0.0.0").popitem()[1]
    task, service = tasks_of(version, "onhost")[0], service_of(version, "onhost")
    assert imported(task, service, node, Wanted("web", 8080), LOCAL).address == "127.0.0.1"


def nodes(version: str, **status: str) -> dict[str, Any]:
    return {each["ID"]: {**each, "Status": {**each["Status"], **status}} for each in answers(version)["nodes"]}
