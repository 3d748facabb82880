"""A document as those who edit it see it: revisions, and the pointer to the one in force."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from zkdiscovery.config.commit import Edit
from zkdiscovery.config.documents import encode_document
from zkdiscovery.config.drafts import Draft, Editing, check_expected, check_message, claimed_author
from zkdiscovery.config.encrypted import encoder, open_document, reencrypt_document, reveal_document
from zkdiscovery.config.exporting import Format, check_format, export
from zkdiscovery.config.keyring import Keyring, check_keys
from zkdiscovery.config.merging import KeyChange, differences
from zkdiscovery.config.plans import ConfigRollout, HaltWhen, make_plan
from zkdiscovery.config.revisions import ConfigRevision
from zkdiscovery.config.rollouts import Driver, read_rollout, stop_rollout
from zkdiscovery.config.statuses import ConfigReader
from zkdiscovery.config.stores import ConfigDocument, ConfigStores
from zkdiscovery.core import Core, CoreSlot
from zkdiscovery.locks import check_guard
from zkdiscovery.validation import check_function, check_nonempty, check_timeout, check_whole
from zkdiscovery.znodes import BaseHold, Paths

T = TypeVar("T")
Work = Callable[[Core], T]  # blocks


class BaseConfigStore:
    """The part of a store that the sync and the async one share. Nothing is sent before the first use."""

    def __init__(self, name: str, author: str | None, keys: Keyring | None, slot: CoreSlot) -> None:
        Paths("").document(name)
        self.name = name
        self._keys = check_keys(keys)
        self._claimed = claimed_author(author)
        self._title = f"the document {name!r}"
        self._slot = slot

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def __reduce__(self) -> str:
        raise TypeError("a store holds a connection and can't be pickled; call config_store() in the other process")

    def _editing(
        self, core: Core, message: str, guard: BaseHold | None, timeout: float | None, *, in_force: bool = True
    ) -> Editing:
        return Editing(core, [self.name], message, self._claimed, guard, self._keys, timeout, in_force=in_force)

    # Each of these checks what it is given, and returns what blocks.

    def _reading_stored(self, revision: int | None, timeout: float | None) -> Work[ConfigDocument]:
        limit = check_timeout(timeout)
        if revision is not None:
            check_whole(revision, "a revision", 1)
        return lambda core: core.feature(ConfigStores).read(self.name, revision, limit)

    def _reading(self, revision: int | None, timeout: float | None) -> Work[ConfigDocument]:
        read = self._reading_stored(revision, timeout)

        def open_(core: Core) -> ConfigDocument:
            document, root = read(core), core.paths.document(self.name)
            return replace(document, values=open_document(document.values, root, self._keys))

        return open_

    def _replacing(
        self,
        values: dict[str, Any],
        message: str,
        expect: int | None,
        guard: BaseHold | None,
        timeout: float | None,
        *,
        in_force: bool,
    ) -> Work[int]:
        limit, root = check_timeout(timeout), self._slot.current().paths.document(self.name)
        data, encrypt = encoder(values, root, self._title, self._keys)
        check_message(message), check_expected(expect), check_guard(guard)

        def commit(core: Core) -> int:
            stores = core.feature(ConfigStores)
            edit = Edit(stores.layout(self.name), data, message, expect, encrypt=encrypt, in_force=in_force)
            return stores.commit([edit], self._claimed, guard, limit)[self.name]

        return commit

    def _reencrypting(self, message: str, guard: BaseHold | None, timeout: float | None) -> Work[int]:
        def reencrypt(core: Core) -> int:
            editing = self._editing(core, message, guard, timeout)
            editing.begin()
            draft = editing.drafts[self.name]
            draft.update(reencrypt_document(draft, self._keys))
            editing.finish()
            return draft.revision

        check_message(message), check_guard(guard), check_timeout(timeout)
        return reencrypt

    def _rolling_back(
        self, revision: int, message: str | None, expect: int | None, guard: BaseHold | None, timeout: float | None
    ) -> Work[int]:
        read, limit = self._reading_stored(revision, timeout), check_timeout(timeout)
        why = check_message(f"roll back to revision {revision}" if message is None else message)
        check_expected(expect), check_guard(guard)

        def roll_back(core: Core) -> int:
            stores = core.feature(ConfigStores)
            data = encode_document(read(core).values, self._title)
            edit = Edit(stores.layout(self.name), data, why, expect, restores=revision)
            return stores.commit([edit], self._claimed, guard, limit)[self.name]

        return roll_back

    def _driver(
        self, revision: int | None, percent: Sequence[float], bake: float, halt_when: HaltWhen | None
    ) -> Driver:
        if revision is not None:
            check_whole(revision, "a revision", 1)
        if halt_when is not None:
            check_function(halt_when, "halt_when")
        return Driver(self._slot, self.name, revision, make_plan(percent, bake), halt_when)

    def _asking_rollout(self, timeout: float | None) -> Work[ConfigRollout | None]:
        limit = check_timeout(timeout)
        return lambda core: read_rollout(core, self.name, limit)

    def _stopping_rollout(self, why: str, timeout: float | None) -> Work[int]:
        limit = check_timeout(timeout)
        check_nonempty(why, "why a rollout is stopped")
        return lambda core: stop_rollout(core, self.name, why, limit)

    def _looking_back(self, timeout: float | None) -> Work[list[ConfigRevision]]:
        limit = check_timeout(timeout)
        return lambda core: core.feature(ConfigStores).history(self.name, limit)

    def _comparing(self, before: int, after: int | None, timeout: float | None) -> Work[list[KeyChange]]:
        old, new = self._reading(before, timeout), self._reading(after, timeout)
        return lambda core: differences(old(core).values, new(core).values)

    def _asking(self, timeout: float | None) -> Work[list[ConfigReader]]:
        limit = check_timeout(timeout)
        return lambda core: core.feature(ConfigStores).readers(self.name, limit)

    def _exporting(self, format: Format, revision: int | None, reveal: bool, timeout: float | None) -> Work[str]:
        check_format(format)
        read = self._reading(revision, timeout) if reveal else self._reading_stored(revision, timeout)
        return lambda core: export(reveal_document(read(core).values), format, self._title)


class ConfigStore(BaseConfigStore):
    """A document of the config centre, to read and to edit, made by `Client.config_store`. Nothing is sent yet.

    A document is a series of revisions, which never change, and a pointer to the one in force. Each revision is the
    whole document. The last 100 are kept.

    Attributes:
        name: of the document.
    """

    @contextmanager
    def edit(
        self,
        message: str,
        *,
        expect: int | None = None,
        in_force: bool = True,
        guard: BaseHold | None = None,
        timeout: float | None = 5.0,
    ) -> Iterator[Draft]:
        """Edit the document in a `with` block: its end stores a new revision, unless nothing changed or it raised.

        The block gets a `Draft`, which is a dict: the document as it is, or an empty one if there is none.

        Args:
            message: why; the history shows it.
            expect: the revision that the edit is meant for; 0: there must be no such document; None: any.
            in_force: False: the revision is stored, and no reader takes it before `staged_rollout(draft.revision)`.
            guard: a hold of a lock, or a term. ZooKeeper refuses the revision once that hold is over.
            timeout: seconds for reading, and again for writing.

        Raises:
            NodeChanged: there is another revision than expected, or somebody else stored one during the block.
            InvalidDocument: the document can't be stored; the message tells where.
            InvalidSettings: no message, or no revision.
            HoldLost: the guard is over. A term raises the subclass LeadershipLost.
            UndecodableNode: what is stored is no document.
            NotConnected, OperationTimeout, AccessDenied: not done within `timeout` seconds, or refused. Nothing was
                stored, unless the error has `outcome_unknown`: then the revision may have been stored, once.
        """
        editing = self._editing(self._slot.current(), message, guard, timeout, in_force=in_force)
        editing.begin(expect)
        yield editing.drafts[self.name]
        editing.finish()

    def replace(
        self,
        values: dict[str, Any],
        message: str,
        *,
        expect: int | None = None,
        in_force: bool = True,
        guard: BaseHold | None = None,
        timeout: float | None = 5.0,
    ) -> int:
        """Store a document in place of the present one; return its revision.

        For the arguments, and what it raises, see `edit`. Without `expect` it replaces whatever is there.
        """
        return self._replacing(values, message, expect, guard, timeout, in_force=in_force)(self._slot.current())

    def rollback(
        self,
        revision: int,
        message: str | None = None,
        *,
        expect: int | None = None,
        guard: BaseHold | None = None,
        timeout: float | None = 5.0,
    ) -> int:
        """Store a new revision with the content of an earlier one; return the new one.

        For the arguments, and what it raises, see `edit`. It raises NodeMissing if the earlier one was pruned.
        """
        return self._rolling_back(revision, message, expect, guard, timeout)(self._slot.current())

    def reencrypt(
        self, message: str = "encrypt anew", *, guard: BaseHold | None = None, timeout: float | None = 5.0
    ) -> int:
        """Encrypt all encrypted values anew, with the first of the keys; return the revision.

        Nothing is stored if all of them are encrypted with it already. Earlier revisions stay as they are, so keep the
        former key for as long as you may go back to them.

        For the arguments, and what it raises, see `edit`. It raises InvalidDocument if a value can't be decrypted, and
        InvalidSettings if the store has no keys.
        """
        return self._reencrypting(message, guard, timeout)(self._slot.current())

    def staged_rollout(
        self,
        revision: int | None = None,
        percent: Sequence[float] = (5, 25, 100),
        bake: float = 300.0,
        halt_when: HaltWhen | None = None,
    ) -> None:
        """Put a revision in force for a growing share of the readers. Return once all of them have it.

        Each reader belongs to a share by its id; see `Client.config`. Whoever belongs to one belongs to all larger
        ones. The plan is stored: if this process ends, the share stays, and whoever calls this method goes on. Several
        may call it at the same time; one of them drives.

        It stops, and all readers have the revision of before again, if a reader refuses the revision, if `halt_when`
        says so, by `stop_rollout`, and if another revision is stored meanwhile.

        Args:
            revision: a newer revision than the one in force, such as that of `edit(in_force=False)`. None: go on with
                the rollout that is under way.
            percent: the share of each stage; the last one is 100. A rollout that is under way keeps its own.
            bake: seconds that each stage lasts at least, seen by who drives it: an outage of ZooKeeper comes on top,
                and a new driver begins the stage anew.
            halt_when: called with a `ConfigRollout` every second, on this thread; stops the rollout if it returns
                something true, which may be a text that says why, or raises.

        Raises:
            RolloutStopped: it was stopped; says why.
            NodeChanged: another rollout is under way, or the revision is older than the one in force.
            NodeMissing: there is no such revision, or no rollout to go on with.
            InvalidSettings: no plan.
            UndecodableNode, AccessDenied, ClientClosed: what is stored can't be used, or it is refused.
        """
        driver = self._driver(revision, percent, bake, halt_when)
        try:
            while (pause := driver.step()) is not None:
                self._slot.current().session.closing.wait(pause)
        finally:
            driver.close()

    def rollout(self, timeout: float | None = 5.0) -> ConfigRollout | None:
        """Return the rollout that is under way, or that was stopped last; None: there is none. Raises as `readers`."""
        return self._asking_rollout(timeout)(self._slot.current())

    def stop_rollout(self, why: str, timeout: float | None = 5.0) -> int:
        """Stop the rollout that is under way; return the revision that is in force for all readers.

        Raises:
            NodeMissing: no rollout is under way.
            NotConnected, OperationTimeout, AccessDenied: not done within `timeout` seconds, or refused.
        """
        return self._stopping_rollout(why, timeout)(self._slot.current())

    def read(self, revision: int | None = None, timeout: float | None = 5.0) -> ConfigDocument:
        """Return the document, as of all writes that were done before.

        Args:
            revision: which one; None: the one in force.
            timeout: seconds.

        Raises:
            NodeMissing: there is no such document, or the revision was pruned.
            UndecodableNode: what is stored is no document.
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """
        return self._reading(revision, timeout)(self._slot.current())

    def history(self, timeout: float | None = 5.0) -> list[ConfigRevision]:
        """Return the revisions, the newest first; none if there is no such document. Raises as `read`."""
        return self._looking_back(timeout)(self._slot.current())

    def diff(self, before: int, after: int | None = None, timeout: float | None = 5.0) -> list[KeyChange]:
        """Return the keys that differ between two revisions; None: the one in force. Raises as `read`."""
        return self._comparing(before, after, timeout)(self._slot.current())

    def readers(self, timeout: float | None = 5.0) -> list[ConfigReader]:
        """Return who reads the document, which revision each one has, and which one it refuses and why; sorted by id.

        It is some tenths of a second behind.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """
        return self._asking(timeout)(self._slot.current())

    def export(
        self,
        format: Format = "json",
        revision: int | None = None,
        *,
        reveal: bool = False,
        timeout: float | None = 5.0,
    ) -> str:
        """Return the document as text.

        Args:
            format: "json"; "yaml", which needs PyYAML; or "toml", which needs tomli-w.
            revision: which one; None: the one in force.
            reveal: True: with encrypted values in plain text; False: as they are stored.
            timeout: seconds.

        Raises:
            InvalidSettings: no such format, or its library is not installed.
            InvalidDocument: TOML has no null.
            NodeMissing, UndecodableNode, NotConnected, OperationTimeout, AccessDenied: as `read`.
        """
        return self._exporting(format, revision, reveal, timeout)(self._slot.current())
