"""Changes of a clustering that is made: edits, each of which can be undone, and comments that join.

The tree as it was made is kept, and the list of edits: what is shown is one with the other replayed on it. The work is
done outside of any transaction; it counts only if nobody else changed the clustering meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from models.clustering.records import Clustering, Edit, edit_from_dict, edit_to_dict
from models.tagger import Options
from nlp.errors import ClusteringError, JobError, PreconditionError
from nlp.records import Document
from service.clock import Clock
from service.consultation import Voices, hear, noted, understand
from service.kept_trees import (
    classifications_of,
    comments_of,
    new_comments,
    packed,
    place_of,
    shown,
    unpacked,
)
from service.model import Model
from service.preconditions import Condition, replayed
from service.store import Store
from service.store.audit import canonical, sha256_of_text
from service.store.clusterings import answer_name
from service.store.records import (
    Answer,
    EditEntry,
    JobState,
    Repeatable,
    StoredClustering,
    StoredComment,
)
from service.store.writing import Writer

# How often comments that join are placed again because somebody else changed the clustering meanwhile.
_TRIES = 3

Render = Callable[[StoredClustering, Mapping[str, Any]], Answer]


@dataclass(frozen=True)
class _Loaded:
    """A clustering as it was read."""

    kept: StoredClustering
    made: Clustering
    comments: tuple[StoredComment, ...]
    live: tuple[EditEntry, ...]

    @property
    def edits(self) -> list[Edit]:
        return [edit_from_dict(entry.edit) for entry in self.live if entry.edit is not None]


@dataclass(frozen=True)
class Editing:
    """Composes the store, the model and the clock.

    Attributes:
        store: keeps clusterings.
        model: reads comments that join, and has the taxonomy.
        clock: dates what is written.
        actor: who asks.
        render: makes the answer from a clustering and its tree.
    """

    store: Store
    model: Model
    clock: Clock
    actor: str
    render: Render

    def edit(
        self, clustering_id: str, edits: Sequence[Edit], condition: Condition, request: Repeatable | None
    ) -> Answer:
        """Edit a tree: all of the edits are kept, or none.

        Raises:
            ClusteringError: an edit names what is not there, or asks what cannot be.
            JobError: there is no tree yet.
            PreconditionError: it is not as the caller last read it.
        """
        if answer := self._earlier(request):
            return answer
        loaded = self._load(clustering_id, condition)
        tree = self._replayed(loaded.made, [*loaded.edits, *edits], loaded.comments)

        def note(writer: Writer) -> None:
            for edit in edits:
                plain = edit_to_dict(edit)
                number = writer.clusterings.note_edit(loaded.kept.key, actor=self.actor, edit=plain)
                self._log(writer, clustering_id, "edit", number=number, edit=plain["edit"], sha256=_hash(plain))

        return self._keep(loaded, tree, request, note)

    def undo(self, clustering_id: str, condition: Condition, request: Repeatable | None) -> Answer:
        """Undo the last edit that counts.

        Raises:
            ClusteringError: there is none.
            JobError: there is no tree yet.
            PreconditionError: it is not as the caller last read it.
        """
        if answer := self._earlier(request):
            return answer
        loaded = self._load(clustering_id, condition)
        if not loaded.live:
            raise ClusteringError("no edit is left to be undone", expected="an edit that counts")
        tree = self._replayed(loaded.made, loaded.edits[:-1], loaded.comments)

        def note(writer: Writer) -> None:
            last = loaded.live[-1].number
            number = writer.clusterings.note_edit(loaded.kept.key, actor=self.actor, edit=None, undoes=last)
            self._log(writer, clustering_id, "undo", number=number, undoes=last)

        return self._keep(loaded, tree, request, note)

    def join(
        self,
        clustering_id: str,
        documents: Sequence[Document],
        condition: Condition,
        request: Repeatable | None,
        most: int,
    ) -> Answer:
        """Let new comments join the tree; those in it stay where they are, and edits are kept.

        Args:
            clustering_id: of the clustering.
            documents: the new comments as they came.
            condition: under which they are to join.
            request: its mark, if it may come twice.
            most: comments that a clustering may have.

        Raises:
            ClusteringError: ids are known already, there would be too many, or another model made the tree.
            JobError: there is no tree yet.
            PreconditionError: it is not as the caller last read it.
        """
        if answer := self._earlier(request):
            return answer
        loaded = self._load(clustering_id, condition)
        voices = hear(documents, among=comments_of(loaded.comments))
        self._check_join(loaded, voices, most)
        # scikit-learn is heavy: a service that groups nothing does without it.
        from models.clustering.placing import place

        understood = understand(
            voices.comments, lambda some: self.model.classify(some, Options(embedding=True), patient=False)
        )
        new = {found.id: found for found in understood.classifications}
        embeddings = understood.embeddings
        for left in range(_TRIES - 1, -1, -1):
            old = comments_of(loaded.comments)
            tags = {**classifications_of(loaded.comments), **new}
            made = place(loaded.made, old, voices.comments, embeddings, tags, self.model.tagger.taxonomy)
            made = noted(made, understood)
            first = len(loaded.comments)
            added = new_comments(voices, understood, made, first=first)
            tree = self._replayed(made, loaded.edits, (*loaded.comments, *added))
            added = tuple(replace(one, place=place_of(tree.by_id[one.id])) for one in added)

            def note(writer: Writer) -> None:
                self._log(writer, clustering_id, "join", comments=len(documents), masked=dict(voices.masked or {}))

            try:
                return self._keep(loaded, tree, request, note, made=made, added=added, masked=voices.masked or {})
            except PreconditionError:
                if condition.if_match is not None or not left:
                    raise
            loaded = self._load(clustering_id, condition)
            self._check_join(loaded, voices, most)
        raise AssertionError("the last try returns or raises")

    def _check_join(self, loaded: _Loaded, voices: Voices, most: int) -> None:
        """Refuse what cannot join; asked again when somebody else was faster, who may have sent the same comments."""
        if loaded.kept.model != self.model.out.name:
            raise ClusteringError(
                f"the tree was made with {loaded.kept.model}, and the model in use is {self.model.out.name}",
                expected="the same model",
                remedy="make the clustering again",
            )
        total = loaded.kept.total + len(voices.comments)
        if total > most:
            raise ClusteringError(f"{total} comments together", expected=f"at most {most} (most_job_comments)")
        here = {one.id for one in loaded.comments}
        if known := [one.id for one in voices.comments if one.id in here]:
            raise ClusteringError(
                f"{len(known)} ids are in the clustering already, {known[0]!r} among them", expected="new comments"
            )

    def _earlier(self, request: Repeatable | None) -> Answer | None:
        with self.store.read() as reader:
            answer = reader.answer(request)
        return answer and replayed(answer)

    def _load(self, clustering_id: str, condition: Condition) -> _Loaded:
        with self.store.read() as reader:
            kept = reader.clusterings.get(clustering_id)
            condition.check(kept)
            made = reader.clusterings.made(kept.key)
            if kept.state is not JobState.FINISHED or made is None:
                raise JobError(f"the clustering is {kept.state}", expected="one that is made")
            comments = reader.clusterings.comments(kept.key).items
            edits = reader.clusterings.edits(kept.key)
        return _Loaded(kept, unpacked(made), comments, tuple(entry for entry in edits if entry.live))

    def _replayed(self, made: Clustering, edits: Sequence[Edit], comments: Sequence[StoredComment]) -> Clustering:
        from models.clustering.edits import edited

        known = classifications_of(comments)
        return edited(made, edits, comments_of(comments), known, self.model.tagger.taxonomy)

    def _keep(
        self,
        loaded: _Loaded,
        tree: Clustering,
        request: Repeatable | None,
        note: Callable[[Writer], None],
        *,
        made: Clustering | None = None,
        added: Sequence[StoredComment] = (),
        masked: Mapping[str, int] | None = None,
    ) -> Answer:
        moved = [(one, place_of(tree.by_id[one.id])) for one in loaded.comments]
        changed = [replace(one, place=where) for one, where in moved if one.place != where]
        plain, data = shown(tree), None if made is None else packed(made)
        counts = dict(loaded.kept.masked)
        for kind, count in (masked or {}).items():
            counts[kind] = counts.get(kind, 0) + count
        with self.store.write(self.clock()) as writer:
            if answer := writer.answer(request):
                return replayed(answer)
            now = writer.clusterings.get(loaded.kept.id)
            if now.version != loaded.kept.version:
                raise PreconditionError(
                    "somebody else changed the clustering meanwhile",
                    expected=f"version {loaded.kept.version}, found {now.version}",
                    remedy="read it again and decide on what it is now",
                )
            kept = writer.clusterings.keep(
                now.id, tree=plain, made=data, changed=changed, added=added, masked=counts, model=now.model
            )
            note(writer)
            answer = self.render(kept, plain)
            writer.keep_answer(request, answer_name(kept.id), answer)
            return answer

    def _log(self, writer: Writer, clustering_id: str, action: str, **payload: object) -> None:
        writer.log(self.actor, f"clustering.{action}", clustering=clustering_id, **payload)


def _hash(plain: Mapping[str, Any]) -> str:
    return sha256_of_text(canonical(plain))
