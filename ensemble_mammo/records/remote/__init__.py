"""URLs of remote stores (fsspec) as folders of this machine: mirrored in a cache, brought before, sent after.

    place = place_of("s3://bucket/dataset", writes=True)   # the local path; nothing is brought yet
    fetch()                                                # brings what is missing or differs
    ...                                                    # `records.files` sends each file that it writes
    settle()                                               # sends the rest

Where nothing is mirrored, all of it does nothing.
"""

from ensemble_mammo.records.remote.address import is_url
from ensemble_mammo.records.remote.bringing import brought, brought_back, fetch, present, present_all
from ensemble_mammo.records.remote.mirror import Mirror, mirrors, place_of, shown, use, worded
from ensemble_mammo.records.remote.sending import grown, hand_over, settle, written

__all__ = [
    "Mirror",
    "brought",
    "brought_back",
    "fetch",
    "grown",
    "hand_over",
    "is_url",
    "mirrors",
    "place_of",
    "present",
    "present_all",
    "settle",
    "shown",
    "use",
    "worded",
    "written",
]
