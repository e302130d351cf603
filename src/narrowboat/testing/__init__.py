"""What Narrowboat ships for tests: a real worker for end-to-end tests, the pytest plugin, the conformance suite."""

from .workers import RunningWorker as RunningWorker
from .workers import running_worker as running_worker
