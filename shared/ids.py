"""Names for things that live long enough to need one: `utt_`, `trn_`, `rpl_`, `ses_` and 16 random hex digits."""

import secrets


def new_id(kind: str) -> str:
    """A fresh id such as `trn_9f86d081884c7d65`; 64 random bits, so two never meet in practice."""
    return f"{kind}_{secrets.token_hex(8)}"
