"""Pods that are made of the committed example: they differ in what a test is about, and in nothing else."""

from __future__ import annotations

from typing import Any

import yaml

from tests.interop.kubernetes.pods.node import MANIFESTS

Json = dict[str, Any]

PORT = 8080  # of the program of the example


def of_example(kind: str) -> Json:
    """An object of the example."""
    documents = yaml.safe_load_all((MANIFESTS / "payments.yaml").read_text())
    (found,) = (each for each in documents if each["kind"] == kind)
    return dict(found)


def container(name: str, service: str, port: int = PORT) -> Json:
    """A container like the example's, registered as this service. At another port, it is another program."""
    found: Json = of_example("Deployment")["spec"]["template"]["spec"]["containers"][0]
    ready = f"/tmp/ready-{name}"
    program = ["payments.py"] if port == PORT else ["-m", "http.server", str(port)]
    check = ["--check", "http:/ready"] if port == PORT else []
    found["name"] = name
    found["ports"] = [{"name": f"http-{port}", "containerPort": port}]
    found["command"] = [
        *("zkdiscovery", "run", service, "--port", str(port), *check, "--ready-file", ready),
        *("--", "python", "-u", *program),
    ]
    found["readinessProbe"]["exec"]["command"] = ["test", ready, "-nt", "/dev/termination-log"]
    return found


def pod(name: str, *containers: Json, **spec: Any) -> Json:
    """A pod of these containers, or of one of the service `payments`. What ends in it is not started again."""
    template: Json = of_example("Deployment")["spec"]["template"]["spec"]
    template |= {
        "restartPolicy": "Never",
        "containers": list(containers) or [container("payments", "payments")],
        **spec,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": template,
    }
