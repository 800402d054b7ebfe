"""From what a request holds to the texts that are tagged, and from what the model says to the answer, item by item."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastapi import UploadFile
from starlette.concurrency import run_in_threadpool

from nlp.errors import InvalidTextError, MusannifError
from nlp.reading import check_text, read_bytes
from nlp.records import Classification, Document, Failure
from service import problems
from service.schemas import FileQuery, ItemIn, ItemOut, ProblemOut

ItemId = str | int | None


class Batch:
    """The items of a request: those that can be tagged, and answers for those that cannot.

    Attributes:
        documents: the texts to tag, in order.
    """

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self._ids: list[ItemId] = []
        self._failed: dict[int, ItemOut] = {}

    @classmethod
    def of_items(cls, items: Sequence[ItemIn], most_characters: int) -> Batch:
        """Items as a client wrote them; each is checked for itself."""
        batch = cls()
        for position, item in enumerate(items):
            valid_id = item.id is None or (isinstance(item.id, (str, int)) and _is_unicode(str(item.id)))
            try:
                if not valid_id:
                    raise InvalidTextError(
                        f"item {position}: id is not a valid string", expected="a string or an integer"
                    )
                if not isinstance(item.text, str):
                    raise InvalidTextError(f"item {position}: text is {type(item.text).__name__}", expected="a string")
                check_text(item.text, most_characters)
            except MusannifError as error:
                batch._refuse(item.id if valid_id else None, error)
            else:
                batch._take(item.id, Document(str(item.id), item.text))
        return batch

    @classmethod
    def of_documents(cls, documents: Sequence[Document | Failure], most_characters: int) -> Batch:
        """What was read of a file."""
        batch = cls()
        for one in documents:
            item_id = one.id.encode("utf-8", "replace").decode()
            try:
                if isinstance(one, Failure):
                    raise one.error
                check_text(one.text, most_characters)
            except MusannifError as error:
                batch._refuse(item_id, error)
            else:
                batch._take(item_id, one)
        return batch

    def __len__(self) -> int:
        return len(self._ids)

    def answers(self, results: Sequence[Classification | Failure]) -> list[ItemOut]:
        """The answer to every item, in order.

        Args:
            results: of ``documents``.
        """
        found = iter(results)
        return [
            self._failed[place] if place in self._failed else answer_of(item_id, next(found))
            for place, item_id in enumerate(self._ids)
        ]

    def entries(self) -> list[tuple[ItemId, str | None, ItemOut | None]]:
        """Id, text and answer of every item, in order: the text of those to tag, the answer of those refused."""
        texts = iter(self.documents)
        return [
            (item_id, None, self._failed[place]) if place in self._failed else (item_id, next(texts).text, None)
            for place, item_id in enumerate(self._ids)
        ]

    def _take(self, item_id: ItemId, document: Document) -> None:
        self._ids.append(item_id)
        self.documents.append(document)

    def _refuse(self, item_id: ItemId, error: MusannifError) -> None:
        self._failed[len(self._ids)] = answer_of(item_id, Failure("", error))
        self._ids.append(item_id)


def answer_of(item_id: ItemId, result: Classification | Failure) -> ItemOut:
    """The answer to one item: its tags, or the problem in their place."""
    if isinstance(result, Failure):
        body = problems.problem_of(result.error)
        return ItemOut(id=item_id, status=body["status"], problem=ProblemOut(**body))
    fields = result.to_dict(model="")
    return ItemOut(id=item_id, status=200, **{name: fields[name] for name in fields if name not in ("id", "model")})


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


async def read_upload(file: UploadFile, query: FileQuery, most_characters: int) -> Batch:
    """The items of a file that a client sent.

    Raises:
        UnknownFormatError: its kind is not known, or a named column is not there.
    """
    data, name = await file.read(), Path(file.filename or "").name

    def read() -> Batch:
        found = read_bytes(data, name, text_column=query.text_column, id_column=query.id_column)
        return Batch.of_documents(list(found), most_characters)

    return await run_in_threadpool(read)
