"""The bridge to Docker and Swarm. It needs the extra `zkdiscovery[docker]`."""
