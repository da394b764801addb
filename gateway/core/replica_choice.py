"""Decide which replica of a service is asked next, and when one that failed is looked at again.

Who asks takes a replica and gives it back when done; how many have it at a moment is how busy it is. One that fails in
use, or does not answer a look, is out: nobody is sent there while another one is in. After a wait it is looked at, and
comes back when it answers; a wait that follows soon after the one before is twice as long. Never sends anything and
reads no clock: `now_s` is monotonic seconds, handed in.

Laws: the replica taken is one of those that may be; none is out while one is in; of those in, none ready is busier than
the one taken, and a ready one goes before one that is not; who fails is not due before its wait is over, and no wait is
longer than `longest_s`; of equally busy ones the one that was taken longest ago is next; what is said of a replica
that is gone changes nothing.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Condition(Enum):
    """What is known of a replica. The last two are out: it failed those who used it, or it did not answer a look."""

    READY = "ready"
    UNKNOWN = "unknown"  # not looked at yet
    LOADING = "loading"
    LOST = "lost"
    SILENT = "silent"


OUT: Final = (Condition.LOST, Condition.SILENT)


@dataclass(frozen=True, slots=True)
class ChoiceParams:
    """Seconds out after a failure: the first time and at most; and how long being in makes the next failure a first."""

    first_s: float = 0.5
    longest_s: float = 2.0
    steady_s: float = 30.0


@dataclass(slots=True)
class _Replica:
    condition: Condition = Condition.UNKNOWN
    users: int = 0
    taken: int = 0  # the number of its last taking
    wait_s: float = 0.0
    due_s: float = 0.0  # when it is looked at again, while it is out
    back_s: float = float("-inf")  # when it came back last

    @property
    def is_out(self) -> bool:
        return self.condition in OUT


class ReplicaChoice:
    """The replicas of one service, by address. There is always one at least."""

    def __init__(self, addresses: Iterable[str], params: ChoiceParams = ChoiceParams()) -> None:
        self._params = params
        self._replicas = {address: _Replica() for address in addresses}
        self._takings = 0

    @property
    def conditions(self) -> dict[str, Condition]:
        """What is known of each."""
        return {address: replica.condition for address, replica in self._replicas.items()}

    @property
    def users(self) -> dict[str, int]:
        """How many have each."""
        return {address: replica.users for address, replica in self._replicas.items()}

    def replace(self, addresses: Iterable[str]) -> None:
        """These are the replicas now; what is known of those that stay is kept. Nothing happens if there are none."""
        known = {address: self._replicas.get(address) or _Replica() for address in addresses}
        self._replicas = known or self._replicas

    def take(self, besides: Collection[str] = ()) -> str | None:
        """The one to ask, who is busier from now on. None if all others are out or there are no others."""
        others = {address: replica for address, replica in self._replicas.items() if address not in besides}
        able = {address: replica for address, replica in others.items() if not replica.is_out}
        if able:
            address = min(able, key=lambda one: self._rank(able[one]))
        elif besides:
            return None
        else:  # all are out: the one that is back soonest may be back already
            address = min(others, key=lambda one: others[one].due_s)
        self._takings += 1
        self._replicas[address].users += 1
        self._replicas[address].taken = self._takings
        return address

    @staticmethod
    def _rank(replica: _Replica) -> tuple[bool, int, int]:
        return replica.condition is not Condition.READY, replica.users, replica.taken

    def give(self, address: str) -> None:
        """Who took it is done with it."""
        replica = self._replicas.get(address)
        if replica is not None and replica.users:
            replica.users -= 1

    def lose(self, address: str, now_s: float) -> bool:
        """It failed somebody: it is out for a while. Whether that is news."""
        return self._put_out(address, Condition.LOST, now_s)

    def refuse(self, address: str) -> None:
        """It lives and can take no more: others go before it until it was looked at."""
        replica = self._replicas.get(address)
        if replica is not None and not replica.is_out:
            replica.condition = Condition.LOADING

    def see(self, address: str, condition: Condition, now_s: float) -> bool:
        """What a look at it showed: READY, LOADING or SILENT. Whether it went out or came back by that."""
        if condition is Condition.SILENT:
            return self._put_out(address, condition, now_s)
        replica = self._replicas.get(address)
        if replica is None or (replica.is_out and now_s < replica.due_s):  # the look began before it failed
            return False
        was_out, replica.condition = replica.is_out, condition
        if was_out:
            replica.back_s = now_s
        return was_out

    def due(self, now_s: float) -> list[str]:
        """Those to look at: all that are in, and of those out the ones whose wait is over."""
        return [one for one, replica in self._replicas.items() if not replica.is_out or now_s >= replica.due_s]

    def _put_out(self, address: str, condition: Condition, now_s: float) -> bool:
        replica = self._replicas.get(address)
        if replica is None:
            return False
        was_out = replica.is_out
        if was_out and now_s < replica.due_s:  # another one who had it says the same
            replica.condition = condition
            return False
        is_again = was_out or now_s - replica.back_s < self._params.steady_s
        replica.wait_s = min(self._params.longest_s, replica.wait_s * 2) if is_again else self._params.first_s
        replica.due_s = now_s + replica.wait_s
        replica.condition = condition
        return not was_out
