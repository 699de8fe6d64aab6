"""The `[[helpdesks]]` tables: accounts, their proofs, and what is written back."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from classifier.config.section import Name, Seconds, Section, Share

Vendor = Literal[
    "zendesk", "freshdesk", "intercom", "helpscout", "front",
    "zammad", "chatwoot", "jira", "hubspot", "generic",
]  # fmt: skip
_Word = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^\S+$")]
_Value = Annotated[str, Meta(min_length=1, max_length=256)]
_ByLabel = dict[str, _Value]
ApiUrl = Annotated[str, Meta(pattern=r"^https?://[^\s?#]+$")]


class Action(Section, frozen=True, kw_only=True):
    """Two thresholds make three levels: below the first nothing, then suggest, then write."""

    suggest_from: Annotated[
        Share, Meta(description="confidence from which the action is suggested")
    ] = 0.5
    write_from: Annotated[Share, Meta(description="confidence from which it is done")] = 0.8
    labels: Annotated[
        tuple[str, ...], Meta(description="only for these labels; empty: for all")
    ] = ()

    def __post_init__(self) -> None:
        if self.suggest_from > self.write_from:
            raise ValueError("suggest_from must not be above write_from")


class TagAction(Action, frozen=True, kw_only=True):
    """Adds one tag per label; what agents tagged stays."""

    prefix: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_-]{1,32}$",
            description="tags that begin so are ours: also how a correction is recognised",
        ),
    ] = "tc_"
    values: Annotated[
        _ByLabel,
        Meta(description="tag per label, where it is not prefix + label"),
    ] = field(default_factory=dict)
    done: Annotated[
        Annotated[str, Meta(max_length=128, pattern=r"^\S*$")],
        Meta(
            description="tag of every ticket that was labelled, for trigger conditions; it also "
            "keeps a label's tag that an agent took off from coming back; empty: none"
        ),
    ] = ""


class FieldAction(Action, frozen=True, kw_only=True):
    """Sets one custom field, if it is empty."""

    id: Annotated[_Word, Meta(description="the field's id or key in the helpdesk's API")]
    values: Annotated[
        _ByLabel, Meta(description="the field's value per label, where it is not the label")
    ] = field(default_factory=dict)


class PriorityAction(Action, frozen=True, kw_only=True):
    """Sets the priority of some labels, if nobody has."""

    values: Annotated[_ByLabel, Meta(min_length=1, description="the vendor's priority per label")]
    untouched: Annotated[
        tuple[str, ...],
        Meta(description="priorities that new tickets start with; without it the vendor's usual"),
    ] = ()


class GroupAction(Action, frozen=True, kw_only=True):
    """Routes some labels to a group or team, if the ticket has none."""

    values: Annotated[
        _ByLabel, Meta(min_length=1, description="the vendor's group or team id per label")
    ]
    untouched: Annotated[
        tuple[str, ...], Meta(description="groups that new tickets start in, besides none at all")
    ] = ()


class NoteAction(Action, frozen=True, kw_only=True):
    """Writes one internal note per event."""

    text: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=2_000,
            description="`{label}` and `{confidence}` are filled in; customers never see it",
        ),
    ] = "Classified as {label} (confidence {confidence})."


class Actions(Section, frozen=True, kw_only=True):
    """What is written back; an action that is not named is not done."""

    unknown_confidence: Annotated[
        Literal["nothing", "suggest", "write"],
        Meta(description="the level for an answer whose confidence nobody knows"),
    ] = "suggest"
    suggest_with: Annotated[
        Literal["tag", "note", "nothing"], Meta(description="what a suggestion is")
    ] = "tag"
    suggest_prefix: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_-]{1,32}$",
            description="prefix of the tag that suggests a label; not the tag action's own",
        ),
    ] = "suggest_"
    tag: TagAction | None = None
    field: FieldAction | None = None
    priority: PriorityAction | None = None
    group: GroupAction | None = None
    note: NoteAction | None = None

    def __post_init__(self) -> None:
        if self.tag is not None and self.suggest_prefix.startswith(self.tag.prefix):
            raise ValueError("suggest_prefix must not begin with the tag action's prefix")


class Helpdesk(Section, frozen=True, kw_only=True):
    """One account of one vendor: its webhook is `/webhooks/NAME`."""

    name: Annotated[Name, Meta(description="in the URL, in metrics; no two entries share one")]
    vendor: Annotated[Vendor, Meta(description="whose webhooks and API it speaks")]
    secret_env: Annotated[
        tuple[str, ...],
        Meta(description="environment variables with webhook secrets; several while rotating"),
    ] = ()
    secret_file: Annotated[
        tuple[str, ...], Meta(description="files with webhook secrets, beside `secret_env`")
    ] = ()
    proof: (
        Annotated[
            Literal["signature", "header", "basic"],
            Meta(
                description="how deliveries prove where they come from; without it the vendor's "
                "signature; a vendor without one needs `header` (a shared secret) or `basic`"
            ),
        ]
        | None
    ) = None
    proof_header: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")],
        Meta(description='the header that holds the secret with `proof = "header"`'),
    ] = "X-Classifier-Secret"
    proof_user: Annotated[
        Annotated[str, Meta(pattern=r"^[^\s:]{1,64}$")],
        Meta(description='the user name with `proof = "basic"`; the password is the secret'),
    ] = "classifier"
    replay_window_s: Annotated[
        float,
        Meta(ge=10.0, le=86_400.0, description="oldest (and youngest) signed time that is taken"),
    ] = 300.0
    dedupe_s: Annotated[
        float,
        Meta(ge=60.0, le=2_592_000.0, description="how long a delivery's key is remembered"),
    ] = 172_800.0
    replies: Annotated[
        bool,
        Meta(
            description="whether a customer's further messages are classified, not only the first"
        ),
    ] = False
    public_url: (
        Annotated[
            ApiUrl,
            Meta(description="the webhook's URL as the vendor calls it (HubSpot signs it)"),
        ]
        | None
    ) = None
    old_signatures: Annotated[
        bool, Meta(description="HubSpot: also take v1 and v2, which have no time")
    ] = False
    base_url: (
        Annotated[
            ApiUrl,
            Meta(
                description="the vendor's API, without a path, for example "
                "`https://acme.zendesk.com`; vendors with one host for all have a default"
            ),
        ]
        | None
    ) = None
    login: (
        Annotated[
            Literal["bearer", "basic", "client_credentials"],
            Meta(description="how the API is called; without it what the vendor wants"),
        ]
        | None
    ) = None
    user: (
        Annotated[_Value, Meta(description="user name or client id that goes with the key, if any")]
        | None
    ) = None
    key_env: (
        Annotated[
            str, Meta(description="environment variable with the API key, token or client secret")
        ]
        | None
    ) = None
    key_file: Annotated[str, Meta(description="file with it; read at start and reload")] | None = (
        None
    )
    account_id: (
        Annotated[
            _Word,
            Meta(
                description="the account within the API or the deliveries: Chatwoot's account, "
                "Intercom's `app_id`, HubSpot's `portalId`, Zendesk's `account_id`"
            ),
        ]
        | None
    ) = None
    own_user_id: (
        Annotated[
            _Word,
            Meta(description="the API user's id: its changes are ours; Intercom: the admin id"),
        ]
        | None
    ) = None
    call_timeout_s: Annotated[Seconds, Meta(description="limit of one API call")] = 10.0
    settle_s: Annotated[
        float,
        Meta(
            ge=0.0,
            le=600.0,
            description="after a write whose answer was lost: how long to wait before looking "
            "again, because the API may show old values for a while",
        ),
    ] = 2.0
    writes_per_minute: (
        Annotated[
            float,
            Meta(gt=0.0, le=100_000.0, description="the account's limit; without it the vendor's"),
        ]
        | None
    ) = None
    share: Annotated[
        Share, Meta(description="part of that limit that we take; the rest is the agents'")
    ] = 0.5
    reconcile: Annotated[
        bool, Meta(description="poll for tickets whose webhook never came, where the vendor can")
    ] = True
    reconcile_every_s: Annotated[
        float, Meta(ge=5.0, le=86_400.0, description="pause between polls")
    ] = 300.0
    reconcile_back_s: Annotated[
        float, Meta(ge=60.0, le=604_800.0, description="how far back the first poll looks")
    ] = 3_600.0
    paths: Annotated[
        dict[
            Literal["key", "id", "subject", "body", "language", "channel", "tags", "label"], _Word
        ],
        Meta(description="generic: where the body holds what, as `data.ticket.id`"),
    ] = field(default_factory=dict)
    actions: Actions = field(default_factory=Actions)
