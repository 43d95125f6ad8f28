"""What every kind of source promises, as tests.

    class TestMine(SourceConformance):
        @pytest.fixture
        def world(self, tmp_path):
            return MyWorld(tmp_path)

Belongs here: promises that hold for any source, whatever it reads.
Does not belong here: how one kind is read; write tests of its own for that.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol, runtime_checkable

import pytest

from rag_pipeline.contracts.groups import Membership
from rag_pipeline.contracts.ids import bytes_hash
from rag_pipeline.contracts.sources import DeclaredMetadata, FetchedObject, KnowsGroups, ListsSome, Source, SourceObject
from rag_pipeline.errors import DocumentError, DocumentVanished, SourceUnavailable
from rag_pipeline.transforms.listing import KnownObject, match_moves, move_candidates, plan_listing

# Names that a source may hold, each of which has led out of a folder, into another, or into an escape somewhere.
HOSTILE_NAMES = (
    "a b",
    "\u00fc",
    "%41",
    "%2F",
    "it's",
    'say "so"',
    "{x}",
    "x:y",
    "a;b",
    "$HOME",
    "#1?",
    "*",
    "-rf",
    "n" * 150,
)
# A listed object with its address, stamp and times takes less; what holds bodies takes more.
BYTES_PER_OBJECT = 8_192
# Long after everything that a test writes, so that no clock is in doubt.
LATER = datetime(2100, 1, 1, tzinfo=UTC)


class SourceWorld(Protocol):
    """A small world in which one source lies. Names are those of the objects as their owner calls them."""

    def source(self) -> Source:
        """The source, opened anew."""
        ...

    def put(self, name: str, text: str) -> None:
        """Add an object or change it; fetching it gives this text in UTF-8."""
        ...

    def delete(self, name: str) -> None:
        """Take an object away."""
        ...

    def fill(self, count: int) -> None:
        """Add so many small objects."""
        ...

    def break_down(self) -> None:
        """Have the source answer no more: a server that is down, a folder that is not mounted."""
        ...

    def heal(self) -> None:
        """Undo `break_down`; everything is as before."""
        ...

    def allow(self, name: str, principals: Sequence[str]) -> None:
        """Say at the source who may read an object; only called where `capabilities.gives_permissions`."""
        ...


@runtime_checkable
class GroupsWorld(Protocol):
    """A world whose source knows groups, too; its source is opened as one that asks for them."""

    def set_group(self, group: str, members: Sequence[str], groups: Sequence[str] = ()) -> None:
        """Say at the source who is in a group: persons, and other groups of the source."""
        ...

    def remove_group(self, group: str) -> None:
        """Take a group away."""
        ...


class SourceConformance:
    """Inherit from it in a class whose name begins with `Test`, and give the fixture `world`."""

    # How many objects a listing is measured with.
    many = 100_000
    # Whether an object can change where it is; else what is changed is another object at another address.
    objects_change = True

    def text_of(self, fetched: FetchedObject) -> str:
        """The text that was put in, out of what was fetched; override it where the bytes have more around it."""
        return fetched.raw.decode("utf-8")

    @pytest.fixture
    def world(self) -> SourceWorld:
        """The world to test in; a subclass gives its own."""
        raise NotImplementedError("give a fixture `world` that returns a SourceWorld")

    def test_a_listing_is_complete_sorted_and_storable(self, world: SourceWorld) -> None:
        for name in ("b", "a", "c"):
            world.put(name, f"text of {name}")
        listed = world.source().list()
        addresses = [item.address for item in listed]
        assert len(set(addresses)) == 3
        assert addresses == sorted(addresses)
        assert len({item.uri for item in listed}) == 3
        for item in listed:
            item.address.encode("utf-8")
            item.uri.encode("utf-8")
            assert item.problem is None
            assert item.modified_at is None or item.modified_at.utcoffset() is not None

    def test_fetching_gives_what_was_put_in(self, world: SourceWorld) -> None:
        texts = {"text of a", "line\nline \u00e4\n"}
        for number, text in enumerate(sorted(texts)):
            world.put(str(number), text)
        source = world.source()
        fetched = [source.fetch(item) for item in source.list()]
        assert {self.text_of(each) for each in fetched} == texts

    def test_what_is_declared_at_listing_is_declared_when_fetched(self, world: SourceWorld) -> None:
        world.put("a", "text of a")
        source = world.source()
        [item] = source.list()
        fetched = source.fetch(item)
        assert item.declared is None or item.declared == fetched.declared
        assert item.raw is None or item.raw == fetched.raw
        # Whoever asks whether a hit still stands knows no more than this.
        known = SourceObject(item.address, item.uri, None, None, "")
        assert world.source().fetch(known) == fetched

    def test_an_unchanged_run_fetches_nothing(self, world: SourceWorld) -> None:
        for name in "abc":
            world.put(name, f"text of {name}")
        known = known_of(world.source())
        plan = plan_listing(known, world.source().list())
        assert (len(plan.unchanged), plan.to_fetch, plan.vanished) == (3, (), ())

    def test_a_change_changes_the_stamp_of_that_object_alone(self, world: SourceWorld) -> None:
        for name in "abc":
            world.put(name, f"text of {name}")
        known = known_of(world.source())
        world.put("b", "something else, and longer")
        source = world.source()
        plan = plan_listing(known, source.list())
        assert len(plan.unchanged) == 2
        [(before, item)] = plan.to_fetch
        assert (before is not None) == self.objects_change
        assert len(plan.vanished) == (not self.objects_change)
        assert self.text_of(source.fetch(item)) == "something else, and longer"

    def test_what_was_deleted_is_neither_listed_nor_fetched(self, world: SourceWorld) -> None:
        for name in "abc":
            world.put(name, f"text of {name}")
        source = world.source()
        before = source.list()
        world.delete("b")
        gone = []
        for item in before:
            try:
                source.fetch(item)
            except DocumentVanished:
                gone.append(item.address)
            except SourceUnavailable:
                # Whether an object that it does not name is gone is more than such a source can say.
                assert not source.capabilities.is_complete
                gone.append(item.address)
        assert len(gone) == 1
        left = {item.address for item in world.source().list()}
        if source.capabilities.is_complete:
            assert left == {item.address for item in before} - set(gone)

    def test_what_moved_is_known_by_its_bytes(self, world: SourceWorld) -> None:
        for name in "abc":
            world.put(name, f"text of {name}")
        known = known_of(world.source())
        world.delete("b")
        world.put("d", "text of b")
        source = world.source()
        if not source.capabilities.is_complete:
            pytest.skip("a listing does not tell what is gone")
        plan = plan_listing(known, source.list())
        if not self.objects_change and not plan.vanished:
            # An address that is made of the content stays.
            assert plan.to_fetch == ()
            return
        hashes = {item.address: bytes_hash(source.fetch(item).raw) for item in move_candidates(plan)}
        moves = match_moves(plan.vanished, hashes)
        assert [before.address for before in moves.values()] == [before.address for before in plan.vanished]
        assert len(moves) == 1

    def test_a_permission_that_changes_fetches_nothing(self, world: SourceWorld) -> None:
        world.put("a", "text of a")
        if not world.source().capabilities.gives_permissions:
            pytest.skip("the source knows no permissions")
        world.allow("a", ["staff"])
        known = known_of(world.source())
        for principals in (["crew", "staff"], []):
            world.allow("a", principals)
            source = world.source()
            [(_, item)] = plan_listing(known, source.list()).unchanged
            assert item.declared is not None
            assert item.declared.allowed_principals == tuple(principals)
            assert source.fetch(item).declared == item.declared

    def test_groups_are_told_whole_and_apart_from_objects(self, world: SourceWorld) -> None:
        if not world.source().capabilities.knows_groups:
            assert not isinstance(world.source(), KnowsGroups)
            pytest.skip("the source knows no groups")
        assert isinstance(world, GroupsWorld)
        world.put("a", "text of a")
        known = known_of(world.source())
        world.set_group("crew", ["ada", 'it\'s \u00fc, "she"'], ["deck"])
        world.set_group("deck", ["bob"])
        crew = {Membership("crew", "ada"), Membership("crew", 'it\'s \u00fc, "she"'), Membership("crew", "deck", True)}
        assert _memberships(world) == {*crew, Membership("deck", "bob")}
        world.set_group("crew", ["ada"])
        assert _memberships(world) == {Membership("crew", "ada"), Membership("deck", "bob")}
        world.remove_group("deck")
        assert _memberships(world) == {Membership("crew", "ada")}
        # Who is in a group is no matter of any object.
        assert len(plan_listing(known, world.source().list()).unchanged) == 1
        world.break_down()
        try:
            with pytest.raises(SourceUnavailable):
                _memberships(world)
        finally:
            world.heal()
        assert _memberships(world) == {Membership("crew", "ada")}

    def test_some_objects_are_listed_as_all_are(self, world: SourceWorld) -> None:
        for name in ("b", "a", "c", *HOSTILE_NAMES):
            world.put(name, f"text of {name}")
        source = world.source()
        if not isinstance(source, ListsSome):
            pytest.skip("it lists all or nothing")
        listed = source.list()
        elsewhere = ["", ".", "..", "/", "../a", "/etc/passwd", "a/../b", "a\0", "nowhere", "%2E%2E/a", "a/", "\ud800"]
        for item in listed:
            assert source.list_some([item.address, *elsewhere]) in (None, [item])
        assert source.list_some([item.address for item in reversed(listed)]) in (None, listed)
        assert source.list_some(elsewhere) in (None, [])
        world.break_down()
        try:
            with pytest.raises(SourceUnavailable):
                source.list_some(["a"])
        finally:
            world.heal()

    def test_a_source_that_is_down_is_never_empty(self, world: SourceWorld) -> None:
        for name in "ab":
            world.put(name, f"text of {name}")
        source = world.source()
        before = source.list()
        world.break_down()
        try:
            for each in (source, world.source()):
                with pytest.raises(SourceUnavailable):
                    each.list()
            for item in before:
                # Whatever it says, not that the object is gone.
                with pytest.raises((SourceUnavailable, DocumentError)) as raised:
                    source.fetch(item)
                assert not isinstance(raised.value, DocumentVanished)
        finally:
            world.heal()
        assert world.source().list() == before

    def test_hostile_names_are_objects_like_others(self, world: SourceWorld) -> None:
        for name in HOSTILE_NAMES:
            world.put(name, f"text of {name}")
        source = world.source()
        listed = source.list()
        assert len({item.address for item in listed}) == len(HOSTILE_NAMES)
        for item in listed:
            item.address.encode("utf-8")
            assert not item.address.startswith("/")
            assert not {"", ".", ".."}.intersection(item.address.split("/"))
            assert "\n" not in item.address
        assert {self.text_of(source.fetch(item)) for item in listed} == {f"text of {n}" for n in HOSTILE_NAMES}

    def test_many_objects_are_listed_within_bounded_memory(self, world: SourceWorld) -> None:
        world.fill(self.many)
        source = world.source()
        tracemalloc.start()
        try:
            listed = source.list()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert len(listed) == self.many
        assert peak <= self.many * BYTES_PER_OBJECT


def _memberships(world: SourceWorld) -> set[Membership]:
    source = world.source()
    assert isinstance(source, KnowsGroups)
    told = source.memberships()
    assert told.is_complete == source.capabilities.is_complete
    assert not told.unknown
    return set(told.memberships)


def known_of(source: Source) -> list[KnownObject]:
    """What bronze would hold of a source after a first run: all objects of a listing, as they were read."""
    return [_as_known(item, source.fetch(item)) for item in source.list()]


def _as_known(item: SourceObject, fetched: FetchedObject) -> KnownObject:
    return KnownObject(
        document_id=item.address,
        revision=0,
        change="added",
        address=item.address,
        uri=item.uri,
        bytes_hash=bytes_hash(fetched.raw),
        bytes_batch=0,
        media_type=fetched.declared.media_type,
        size_bytes=item.size_bytes,
        declared=DeclaredMetadata.from_json(fetched.declared.to_json()),
        metadata_hash="",
        stamp=item.stamp,
        problem_code=None,
        source_modified_at=item.modified_at,
        observed_at=LATER,
    )
