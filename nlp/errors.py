"""One tree of errors. Every message says what was expected, what was found and how to mend it.

MusannifError
├── ReadingError            a file or an item cannot be read
│   ├── EmptyTextError      there is no text in it
│   ├── InvalidTextError    the characters are not valid Unicode text
│   ├── TextTooLongError    the text is over the limit
│   └── UnknownFormatError  the kind of file, or its columns, are not known
├── OutputError             a file that cannot be written where it was asked for
├── CorpusError             a labelled record breaks the schema (carries every fault)
├── TaxonomyError           the taxonomy, or a label that is not in it
├── RecipeError             a normalisation recipe that is unknown or altered
├── BundleError             a model bundle that is missing, incomplete or altered
├── TaggingError            the model failed on a text, by a fault of its own
├── ModelStoppedError       the model takes no more texts until the service is started again
├── ClusteringError         comments that cannot be grouped, or a tree that cannot be read or edited as asked
├── OverloadError           the service has more to do than it can
│   ├── QueueFullError      too many texts wait for the model
│   └── DeadlineError       the model did not come to a text in time
├── JobError                a job that is not in the state which the request needs
├── WebhookError            an address that no webhook may call
├── ServiceError            what the service refused to a client, or a service that does not answer
├── BaseModelError          pretrained weights that cannot be read or do not prove equal
├── TrainingError           a training run that cannot start, resume or finish
├── AccessError             who asks cannot have it
│   ├── UnknownCallerError  nobody knows who asks: no credentials, or none that hold
│   ├── ForbiddenError      who asks is known, and may not do this
│   ├── RateLimitError      who asks has asked too often (carries the seconds to wait)
│   └── AccountError        a key or a user that cannot be made, found or changed
└── StoreError              what the service keeps: a database that cannot be opened or is not of this version
    ├── StoreDownError      the database cannot do now what is asked; the same again may succeed
    │   ├── StoreBusyError  it did not answer in time
    │   ├── StoreFullError  there is no room left on the disk
    │   └── StoreDiskError  where it lies cannot be read or written
    ├── NotStoredError      there is nothing with this id
    ├── PreconditionError   somebody else changed the submission since it was read
    ├── ReviewError         a reviewer's decision that does not fit the submission or the taxonomy
    ├── RepeatError         an idempotency key that was used for another request
    ├── CursorError         a cursor that this service did not give, or gave for other filters
    └── AuditError          an entry of the audit log that was altered, removed or added by other hands
"""


class MusannifError(Exception):
    """Root of all errors that Musannif raises on purpose.

    Args:
        found: what is wrong, naming the item and the place.
        expected: what would have been right.
        remedy: what the reader can do about it.
    """

    def __init__(self, found: str, *, expected: str = "", remedy: str = "") -> None:
        self.found = found
        self.expected = expected
        self.remedy = remedy
        parts = [found]
        if expected:
            parts.append(f"expected {expected}")
        if remedy:
            parts.append(remedy)
        super().__init__("; ".join(parts))


class ReadingError(MusannifError):
    """A file or an item cannot be read."""


class EmptyTextError(ReadingError):
    """There is no text in the item."""


class InvalidTextError(ReadingError):
    """The characters of the item are not valid Unicode text."""


class TextTooLongError(ReadingError):
    """The text is longer than the limit."""


class UnknownFormatError(ReadingError):
    """The kind of file, or its columns, are not known."""


class OutputError(MusannifError):
    """A file cannot be written where it was asked for."""


class CorpusError(MusannifError):
    """A labelled record breaks the schema.

    Args:
        faults: one line for every fault, each naming file and line.
    """

    def __init__(self, faults: list[str], *, remedy: str = "") -> None:
        self.faults = tuple(faults)
        shown = "\n  ".join(faults[:20])
        more = f"\n  and {len(faults) - 20} more" if len(faults) > 20 else ""
        super().__init__(f"{len(faults)} faults in the corpus:\n  {shown}{more}", remedy=remedy)


class TaxonomyError(MusannifError):
    """The taxonomy is malformed, or a label is not in it."""


class RecipeError(MusannifError):
    """A normalisation recipe is unknown or was altered."""


class BundleError(MusannifError):
    """A model bundle is missing, incomplete or altered."""


class TaggingError(MusannifError):
    """The model failed on a text, by a fault of its own."""


class ModelStoppedError(MusannifError):
    """The model takes no more texts until the service is started again."""


class ClusteringError(MusannifError):
    """Comments cannot be grouped, or a tree of topics cannot be read or edited as asked."""


class OverloadError(MusannifError):
    """The service has more to do than it can."""


class QueueFullError(OverloadError):
    """Too many texts wait for the model.

    Args:
        retry_after: seconds after which there should be room.
    """

    def __init__(self, found: str, *, retry_after: int, expected: str = "", remedy: str = "") -> None:
        self.retry_after = retry_after
        super().__init__(found, expected=expected, remedy=remedy)


class DeadlineError(OverloadError):
    """The model did not come to a text in time."""


class JobError(MusannifError):
    """A job is not in the state which the request needs."""


class WebhookError(MusannifError):
    """An address is none that a webhook may call."""


class ServiceError(MusannifError):
    """The service refused what a client asked, or did not answer.

    Args:
        status: of the answer; 0 if there was none.
    """

    def __init__(self, found: str, *, status: int, expected: str = "", remedy: str = "") -> None:
        self.status = status
        super().__init__(found, expected=expected, remedy=remedy)


class BaseModelError(MusannifError):
    """Pretrained weights cannot be read, or do not prove equal to their source."""


class TrainingError(MusannifError):
    """A training run cannot start, resume or finish."""


class AccessError(MusannifError):
    """Who asks cannot have it."""


class UnknownCallerError(AccessError):
    """Nobody knows who asks: there are no credentials, or none that hold."""


class ForbiddenError(AccessError):
    """Who asks is known, and may not do this."""


class RateLimitError(AccessError):
    """Who asks has asked too often.

    Args:
        retry_after: seconds after which it may be asked again, at least 1.
    """

    def __init__(self, found: str, *, retry_after: int, expected: str = "") -> None:
        self.retry_after = retry_after
        super().__init__(found, expected=expected, remedy=f"try again in {retry_after} s")


class AccountError(AccessError):
    """A key or a user cannot be made, found or changed."""


class StoreError(MusannifError):
    """The database of the service cannot be opened, or is not of this version."""


class StoreDownError(StoreError):
    """The database cannot do now what is asked; nothing of it was kept."""


class StoreBusyError(StoreDownError):
    """The database did not answer in time."""


class StoreFullError(StoreDownError):
    """There is no room left where the database lies, or where files that are sent are kept while they are read."""


class StoreDiskError(StoreDownError):
    """Where the database lies cannot be read or written."""


class NotStoredError(StoreError):
    """There is nothing with this id."""


class PreconditionError(StoreError):
    """The submission is not as the caller last read it."""


class ReviewError(StoreError):
    """A reviewer's decision does not fit the submission, the taxonomy, or another decision."""


class RepeatError(StoreError):
    """An idempotency key was used before, for another request."""


class CursorError(StoreError):
    """A cursor was not given by this service, or for other filters."""


class AuditError(StoreError):
    """The chain of the audit log is broken.

    Args:
        sequence: number of the first entry that is not as it was written.
    """

    def __init__(self, found: str, *, sequence: int, expected: str = "", remedy: str = "") -> None:
        self.sequence = sequence
        super().__init__(found, expected=expected, remedy=remedy)
