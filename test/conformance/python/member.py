"""What the Python group members share: options, the lines they print, and the end of standard input, which asks them to
leave. The lines are described in ../README.md."""

import json
import sys
import threading
import time

from worker import argument

OPTIONS = json.loads(argument("member", "{}"))
leaving = threading.Event()


class Log:
    """Prints events in order. Records read are gathered into one line a partition, printed before anything else is."""

    def __init__(self):
        self._read = {}
        self._positions = {}

    def say(self, event, **fields):
        self._flush()
        self._print(event, **fields)

    def read(self, topic, partition, offset, generation):
        self._read.setdefault((topic, partition, generation), []).append(offset)
        self._positions[(topic, partition)] = offset + 1

    def assigned(self, partitions, generation, member_id):
        self.say("assigned", partitions=[list(one) for one in partitions], generation=generation, memberId=member_id)

    def revoked(self, partitions, event="revoked"):
        self.say(event, partitions=[list(one) for one in partitions])
        for one in partitions:
            self._positions.pop(tuple(one), None)

    def positions(self):
        """What is read but not committed, as (topic, partition, next offset)."""
        self._flush()
        return [(topic, partition, offset) for (topic, partition), offset in self._positions.items()]

    def committed(self, positions):
        self.say("committed", offsets=[list(one) for one in positions])
        for topic, partition, offset in positions:
            if self._positions.get((topic, partition)) == offset:
                del self._positions[(topic, partition)]

    def failed(self, what, error):
        self.say("failed", what=what, error=f"{type(error).__name__}: {error}"[:300])

    def _flush(self):
        for (topic, partition, generation), offsets in self._read.items():
            self._print("read", topic=topic, partition=partition, generation=generation, offsets=offsets)
        self._read = {}

    def _print(self, event, **fields):
        print(json.dumps({"event": event, "at": time.time() * 1000, **fields}), flush=True)


def _wait_for_end():
    for _ in sys.stdin:
        pass
    leaving.set()


threading.Thread(target=_wait_for_end, daemon=True).start()
