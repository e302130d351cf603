"""Register tasks, enqueue jobs, find them again."""

from .app import App as App
from .batch import BatchHandle as BatchHandle
from .handle import JobHandle as JobHandle
from .task import AsyncTask as AsyncTask
from .task import PreparedJob as PreparedJob
from .task import Task as Task
