"""The codecs by name: ours, and those that other packages bring."""

from __future__ import annotations

from zkdiscovery.codecs.base import Codec, check_encoded, check_size
from zkdiscovery.codecs.curator import CuratorCodec
from zkdiscovery.errors import InvalidInstance, UndecodableNode
from zkdiscovery.model import Instance
from zkdiscovery.plugins import Plugins

DEFAULT_CODEC = "curator"


def _is_codec(value: object) -> bool:
    methods = (getattr(value, "encode", None), getattr(value, "decode", None))
    return not isinstance(value, (type, str)) and all(map(callable, methods))


CODECS: Plugins[Codec] = Plugins(
    "codec",
    {DEFAULT_CODEC: CuratorCodec},
    group="zkdiscovery.codecs",
    fits=_is_codec,
    wanted="an object with encode(instance, previous) and decode(service, id, data)",
)


def resolve_codec(codec: str | Codec = DEFAULT_CODEC) -> Codec:
    """Return the codec of that name, or `codec` itself if it is one.

    A codec that is not ours comes back in a `CheckedCodec`.

    Args:
        codec: `"curator"`, a name in the entry point group `zkdiscovery.codecs` of an installed package, or an object
            with `encode` and `decode`.

    Raises:
        InvalidSettings: none of these; the message lists the names.
        InvalidSettings: the package's codec can't be loaded; the message says why.
    """
    found = CODECS.resolve(codec)
    return found if type(found) in (CuratorCodec, CheckedCodec) else CheckedCodec(found)


class CheckedCodec:
    """A codec that others wrote, held to what `Codec` promises.

    A mistake in it must not end the thread that reads all services: one znode is left out instead, and says why.
    """

    __slots__ = ("inner",)

    def __init__(self, inner: Codec) -> None:
        self.inner = inner

    def encode(self, instance: Instance, previous: bytes | None = None) -> bytes:
        try:
            data: object = self.inner.encode(instance, previous)
        except InvalidInstance:
            raise
        except Exception as error:
            raise InvalidInstance(
                f"the codec {self.inner!r:.80} can't encode {instance.id!r} of {instance.service!r}: {_told(error)}"
            ) from error
        if not isinstance(data, bytes):
            raise InvalidInstance(f"the codec {self.inner!r:.80} must encode to bytes: got {type(data).__name__}")
        return check_encoded(instance, data)

    def decode(self, service: str, id: str, data: bytes) -> Instance:
        check_size(data)
        try:
            found: object = self.inner.decode(service, id, data)
        except UndecodableNode:
            raise
        except Exception as error:
            raise UndecodableNode(f"the codec {self.inner!r:.80} can't decode {id!r}: {_told(error)}") from error
        if not isinstance(found, Instance):
            raise UndecodableNode(
                f"the codec {self.inner!r:.80} must decode to an Instance: got {type(found).__name__} for {id!r}"
            )
        if (found.service, found.id) != (service, id):
            raise UndecodableNode(
                f"the codec {self.inner!r:.80} must keep the service and the id of the path, {service!r} and {id!r}:"
                f" got {found.service!r} and {found.id!r}"
            )
        return found


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
