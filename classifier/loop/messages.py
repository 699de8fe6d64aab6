"""What lies in the queues: records as MessagePack, readable by the next version too."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from classifier.helpdesks.port import Effect, Event, Written


class Arrived(Struct, frozen=True, tag="event"):
    """An event as its helpdesk's file read it. Holds the ticket's text until it is worked off."""

    event: Event


class Poll(Struct, frozen=True, tag="poll"):
    """Time to look for tickets of this account whose webhook never came."""

    account: str


class WriteBack(Struct, frozen=True, tag="write"):
    """An effect on its way. `accepted_at`: when the event behind it was accepted, Unix seconds."""

    account: str
    ticket_id: str
    effect: Effect
    accepted_at: float


Message = Arrived | Poll | WriteBack
encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Message).decode


class Writes(Struct, frozen=True, omit_defaults=True):
    """What we wrote to a ticket, and what we are about to: its echo may overtake its answer."""

    written: Written | None = None
    pending: Written | None = None


encode_writes = msgspec.msgpack.Encoder().encode
decode_writes = msgspec.msgpack.Decoder(Writes).decode
