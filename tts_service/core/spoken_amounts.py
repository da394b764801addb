"""An amount as it is written: its digits, and whether they are a number at all or are named one by one.

Laws: no amount has a digit that is not ASCII; its size is bounded by its text.
"""

from dataclasses import dataclass, replace
from typing import Final

LONGEST_NUMBER_DIGITS: Final = 15  # a longer one is named digit by digit
LONGEST_BARE_DIGITS: Final = 7  # of a number that nobody grouped and that is not round: a longer one is a code
_ROUND: Final = "0000"


@dataclass(frozen=True, slots=True)
class Amount:
    """`whole` and `decimals` are digits; `sign` is "-", "+" or ""."""

    whole: str
    decimals: str = ""
    sign: str = ""
    is_grouped: bool = False

    @property
    def is_code(self) -> bool:
        """Whether its digits are named one by one: 007, a telephone number, an account."""
        digits = len(self.whole)
        if digits > LONGEST_NUMBER_DIGITS or (digits > 1 and self.whole[0] == "0"):
            return True
        return digits > LONGEST_BARE_DIGITS and not self.is_grouped and not self.whole.endswith(_ROUND)

    @property
    def is_one(self) -> bool:
        return self.whole == "1" and not self.decimals

    @property
    def is_year(self) -> bool:
        """Whether it may be a year: four digits from 1100 to 2099."""
        is_bare = len(self.whole) == 4 and not (self.decimals or self.sign or self.is_grouped)
        return is_bare and "1100" <= self.whole < "2100"

    def times_ten_to(self, zeros: int) -> "Amount":
        """The amount with its point moved: 3.5 with 6 zeros is 3500000."""
        decimals = self.decimals.ljust(zeros, "0")
        whole = (self.whole + decimals[:zeros]).lstrip("0") or "0"
        return replace(self, whole=whole, decimals=decimals[zeros:], is_grouped=True)


def read_amount(written: str, sign: str = "") -> Amount:
    """`written` is ASCII digits, perhaps grouped by commas, perhaps with a point and decimals."""
    whole, _, decimals = written.partition(".")
    sign = {"−": "-", "–": "-"}.get(sign, sign)
    return Amount(whole.replace(",", "") or "0", decimals, sign, is_grouped="," in whole)
