"""The servers of the other registries."""

from tests.interop.eureka.conftest import eureka, one_eureka

__all__ = ["eureka", "one_eureka"]
