"""An object store in memory, as the port asks for it."""

import contextlib

from tallystick.components.core.errors import MissingObjectError


class MemoryStore:
    def __init__(self, objects=None):
        self.objects = dict(objects or {})

    def put(self, name, content):
        self.objects[name] = content

    def put_once(self, name, content):
        return self.objects.setdefault(name, content) is content

    def get(self, name):
        try:
            return self.objects[name]
        except KeyError:
            raise MissingObjectError(f"{name}: there is none") from None

    def remove(self, name):
        self.objects.pop(name, None)

    def exclusive(self, name):
        return contextlib.nullcontext()

    def names(self, prefix=""):
        return sorted(name for name in self.objects if name.startswith(prefix))

    def copy(self):
        return MemoryStore(self.objects)
