"""What the operating system offers to workers: all of it on Linux, the portable part elsewhere.

NARROWBOAT_PORTABLE=1 takes the portable part on Linux, too, as the tests do for the sake of other systems.
"""

from __future__ import annotations

import os
import sys

PORTABLE = "NARROWBOAT_PORTABLE"

if sys.platform == "linux" and os.environ.get(PORTABLE) != "1":
    from .linux import ADOPTS_ORPHANS as ADOPTS_ORPHANS
    from .linux import CAN_TAKE_BACK as CAN_TAKE_BACK
    from .linux import DIES_BY_SIGNAL as DIES_BY_SIGNAL
    from .linux import HAS_WALLS as HAS_WALLS
    from .linux import LIMITS_MEMORY as LIMITS_MEMORY
    from .linux import MISSING as MISSING
    from .linux import Channel as Channel
    from .linux import Process as Process
    from .linux import adopt_orphans as adopt_orphans
    from .linux import boot as boot
    from .linux import call_me as call_me
    from .linux import die_with as die_with
    from .linux import has_ended as has_ended
    from .linux import interrupt_nobody as interrupt_nobody
    from .linux import keep_out_of_sight as keep_out_of_sight
    from .linux import lifeline as lifeline
    from .linux import memory_limits as memory_limits
    from .linux import memory_now as memory_now
    from .linux import offer_to_oom_killer as offer_to_oom_killer
    from .linux import open_descriptors as open_descriptors
    from .linux import pair as pair
    from .linux import pid_namespace as pid_namespace
    from .linux import reap as reap
    from .linux import resident_bytes as resident_bytes
    from .linux import scratch as scratch
    from .linux import started as started
    from .linux import take_large_pages as take_large_pages
    from .linux import taken as taken
    from .linux import watch_file as watch_file
else:
    from .portable import ADOPTS_ORPHANS as ADOPTS_ORPHANS
    from .portable import CAN_TAKE_BACK as CAN_TAKE_BACK
    from .portable import DIES_BY_SIGNAL as DIES_BY_SIGNAL
    from .portable import HAS_WALLS as HAS_WALLS
    from .portable import LIMITS_MEMORY as LIMITS_MEMORY
    from .portable import MISSING as MISSING
    from .portable import Channel as Channel
    from .portable import Process as Process
    from .portable import adopt_orphans as adopt_orphans
    from .portable import boot as boot
    from .portable import call_me as call_me
    from .portable import die_with as die_with
    from .portable import has_ended as has_ended
    from .portable import interrupt_nobody as interrupt_nobody
    from .portable import keep_out_of_sight as keep_out_of_sight
    from .portable import lifeline as lifeline
    from .portable import memory_limits as memory_limits
    from .portable import memory_now as memory_now
    from .portable import offer_to_oom_killer as offer_to_oom_killer
    from .portable import open_descriptors as open_descriptors
    from .portable import pair as pair
    from .portable import pid_namespace as pid_namespace
    from .portable import reap as reap
    from .portable import resident_bytes as resident_bytes
    from .portable import scratch as scratch
    from .portable import started as started
    from .portable import take_large_pages as take_large_pages
    from .portable import taken as taken
    from .portable import watch_file as watch_file
