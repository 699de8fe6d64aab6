"""Everything that can go wrong, as one tree; each error knows its HTTP status.

ClassifierError
├── ConfigError              the config, the environment or a prompt file is wrong
├── CallerError              the request is wrong: 4xx, logged as information, never alerts
│   ├── Malformed        400   the bytes are not what they claim to be
│   ├── NotAuthenticated 401   no key, or a wrong one
│   │   └── NotGenuine    401   a delivery that the helpdesk did not send, or not now
│   ├── NotAllowed       403   a known caller asks for something switched off
│   ├── NotFound         404
│   ├── TooSlow          408   the request did not arrive in time
│   ├── TooLarge         413
│   ├── WrongMediaType   415
│   ├── Unprocessable    422   readable, but not a ticket
│   └── HeadTooLarge     431
└── ServiceError             ours or the model's: 5xx, and 429
    ├── Overloaded       429   more tickets than can be answered in time: come back later
    ├── Overcrowded      503   no place for another connection
    ├── Ending           503   the process ends, and there was no time left
    ├── NoPathAnswered   503   every path of the plan failed
    ├── NoLabel          503   models replied, but never with a label of the taxonomy
    ├── BudgetSpent      503   the day's money for models is spent, and no cache knows the answer
    ├── LedgerUnavailable 503  a correction could not be written
    └── OutOfTime        504   the ticket's deadline passed first
AttemptFailed                one attempt on one path failed (never leaves the pipeline)
"""

from __future__ import annotations

from typing import ClassVar, Literal

# Why an attempt failed. A closed set, because it is a metric label.
FailureKind = Literal[
    "timeout",  # no complete answer within the attempt's deadline
    "connect",  # never connected: nothing was sent, so nothing is charged
    "reset",  # the connection broke after the request was sent
    "rate_limited",  # 429: slow down
    "quota",  # 429 insufficient_quota: waiting does not help
    "loading",  # 429: a fine-tuned model is being loaded
    "refused",  # 400, 422: the endpoint does not accept the request
    "unauthorised",  # 401, 403: the key is wrong or lacks rights
    "model_gone",  # 404: no such model any more
    "server_error",  # 5xx and statuses that nobody expects
    "garbage",  # a 200 that cannot be read
    "budget",  # never sent: the money for it is spent
]

# Why a delivery was not believed. A closed set, because it is a metric label.
Doubt = Literal[
    "missing",  # no signature, no time or no shared secret
    "malformed",  # something that cannot be one
    "mismatch",  # made with another secret, or over another body
    "stale",  # signed too long ago, or in the future: a replay, or a clock that is wrong
    "test_secret",  # signed with the secret that Zendesk publishes for test sends
]


class ClassifierError(Exception):
    """Base of all errors that the service raises on purpose.

    `detail` is safe to show to the caller: it never contains ticket text, keys or upstream bodies.
    """

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


class ConfigError(ClassifierError):
    slug = "config"
    title = "Invalid configuration"


class CallerError(ClassifierError):
    status = 400
    slug = "caller"
    title = "The request is wrong"


class Malformed(CallerError):
    slug = "malformed"
    title = "Malformed request"


class NotAuthenticated(CallerError):
    status = 401
    slug = "not-authenticated"
    title = "Not authenticated"


class NotGenuine(NotAuthenticated):
    """A delivery whose proof fails. `doubt` says why, for a counter; the sender is told no more."""

    def __init__(self, doubt: Doubt) -> None:
        super().__init__("this delivery is not proven to come from the helpdesk")
        self.doubt: Doubt = doubt


class NotAllowed(CallerError):
    status = 403
    slug = "not-allowed"
    title = "Not allowed"


class NotFound(CallerError):
    status = 404
    slug = "not-found"
    title = "Not found"


class TooSlow(CallerError):
    status = 408
    slug = "too-slow"
    title = "The request took too long to arrive"


class TooLarge(CallerError):
    status = 413
    slug = "too-large"
    title = "Too large"


class WrongMediaType(CallerError):
    status = 415
    slug = "wrong-media-type"
    title = "Wrong media type"


class Unprocessable(CallerError):
    status = 422
    slug = "unprocessable"
    title = "Not a ticket"


class HeadTooLarge(CallerError):
    status = 431
    slug = "head-too-large"
    title = "Request line and headers too large"


class ServiceError(ClassifierError):
    status = 503
    slug = "service"
    title = "The service cannot answer"


class Overcrowded(ServiceError):
    slug = "overcrowded"
    title = "Too many connections"


class Ending(ServiceError):
    slug = "ending"
    title = "The service is ending"


class Overloaded(ServiceError):
    status = 429
    slug = "overloaded"
    title = "Overloaded"


class NoPathAnswered(ServiceError):
    slug = "no-path-answered"
    title = "No path answered"


class NoLabel(ServiceError):
    slug = "no-label"
    title = "No model gave a label"


class BudgetSpent(ServiceError):
    slug = "budget-spent"
    title = "The day's budget is spent"


class LedgerUnavailable(ServiceError):
    slug = "ledger-unavailable"
    title = "The ledger cannot be written"


class OutOfTime(ServiceError):
    status = 504
    slug = "out-of-time"
    title = "Out of time"


class AttemptFailed(Exception):
    """One attempt failed. `may_be_charged` is true when the endpoint may have done the work."""

    def __init__(
        self,
        kind: FailureKind,
        *,
        may_be_charged: bool = False,
        retry_after_s: float | None = None,
        simulated: bool = False,
    ) -> None:
        super().__init__(kind)
        self.kind: FailureKind = kind
        self.may_be_charged = may_be_charged
        self.retry_after_s = retry_after_s
        self.simulated = simulated
