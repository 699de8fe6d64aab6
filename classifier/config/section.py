"""What every table of the config file is made of."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Seconds = Annotated[float, Meta(gt=0.0, le=600.0)]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the config file: unknown keys are refused."""
