"""The variables of the environment that say which ZooKeeper tests get. All others are settings of clients."""

from __future__ import annotations

VARIABLES = ("ZKDISCOVERY_TEST_HOSTS", "ZKDISCOVERY_ZOOKEEPER_IMAGE", "ZKDISCOVERY_ZOOKEEPER_VERSION")
