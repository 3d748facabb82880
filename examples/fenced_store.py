"""Why a fence is needed: a leader that does not know that it lost leadership is refused by the store."""

from zkdiscovery import Client


class FencedStore:
    """Refuses writes with a smaller fence than the largest so far. A database does the same with one column."""

    def __init__(self) -> None:
        self.largest = 0
        self.value = ""

    def write(self, fence: int, value: str) -> bool:
        """Write, unless a later leader was here already."""
        if fence < self.largest:
            return False
        self.largest, self.value = fence, value
        return True


def main() -> None:
    """Lead, lose leadership, and try to write as if nothing had happened."""
    store = FencedStore()
    with Client(namespace="/examples") as client:
        with client.election("store-writer").campaign(timeout=10) as old:
            print("first leader writes:", store.write(old.fence, "from the first"))
        with client.election("store-writer").campaign(timeout=10) as new:
            print("next leader writes:", store.write(new.fence, "from the next"))
        # The first leader was paused before this line, say, and knows nothing of the next.
        print("late write of the first:", store.write(old.fence, "too late"))
    print("the store holds:", store.value)


if __name__ == "__main__":
    main()
