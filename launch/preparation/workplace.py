"""A folder of this run alone, beside the file to be made; gone when the run ends, however."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import socket

from preparation.errors import InputError, note, reason

_PREFIX, _SUFFIX = ".thaw-prepare-", ".part"
_LOCK = "lock"
_TRIES = 100

# Note [Who is alive]
# A run holds a lock (flock) on the file `lock` in its folder as long as it lives; the system takes
# it back even from a run that was killed. So a folder whose lock can be had belongs to nobody, and
# the next run removes it. Over some network file systems a lock does not reach other hosts, so the
# folder's name says its host, and those of others are left alone; where there are no locks at all,
# nothing is removed. The cleaner holds the lock while it removes, and a run whose new folder was
# cleaned away between its making and its lock takes another one.


class Workplace:
    """Made in `folder` with access for this user only, so that nobody can plant links in it."""

    def __init__(self, folder: str):
        self._folder = folder
        self.path = ""
        self._lock = -1

    def __enter__(self) -> Workplace:
        _sweep(self._folder)
        try:
            for _ in range(_TRIES):
                if self._make() and self._take():
                    return self
            raise InputError(f"{self._folder}: a folder made in it is gone at once, every time")
        except OSError as error:
            self.__exit__()
            raise InputError(f"{self._folder}: cannot be written: {reason(error)}") from error
        except BaseException:  # interrupted: `__exit__` is not called for a failed `__enter__`
            self.__exit__()
            raise

    def __exit__(self, *_) -> None:
        if self.path:
            _remove(self.path)
            self.path = ""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def file(self, name: str) -> str:
        return os.path.join(self.path, name)

    def _make(self) -> bool:
        """Makes a folder; false where its name is taken."""
        name = f"{_PREFIX}{_host()}-{secrets.token_hex(8)}{_SUFFIX}"
        # Known before it is made: an interruption may come between.
        self.path = os.path.join(self._folder, name)
        try:
            os.mkdir(self.path, 0o700)
        except FileExistsError:
            self.path = ""
            return False
        return True

    def _take(self) -> bool:
        """Takes the lock of the new folder; false where another run's cleaning was faster."""
        try:
            self._lock = _locked(self.path)
        except (BlockingIOError, FileNotFoundError):
            return False
        except OSError:  # no locks here: then nobody cleans either
            pass
        return os.path.isdir(self.path)


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _locked(path: str) -> int:
    """The lock of the workplace at `path`, without waiting; OSError where it cannot be had."""
    name = os.path.join(path, _LOCK)
    lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(lock), os.lstat(name)):
            raise FileNotFoundError(name)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _sweep(folder: str) -> None:
    """Removes what runs on this host left in `folder` that were killed."""
    try:
        entries = list(os.scandir(folder))
    except OSError:  # no such folder, or not to be listed: whoever writes there says so
        return
    for entry in entries:
        ours = entry.name.startswith(_PREFIX) and entry.name.endswith(_SUFFIX)
        with contextlib.suppress(OSError):
            if not ours or not entry.is_dir(follow_symlinks=False):
                continue
            if entry.stat(follow_symlinks=False).st_uid != os.geteuid():
                continue
            if not entry.name.startswith(f"{_PREFIX}{_host()}-"):
                note(f"{entry.path}: is of a run on another host; remove it if that has ended")
                continue
            lock = _locked(entry.path)
            try:
                _remove(entry.path)
                if not os.path.lexists(entry.path):
                    note(f"{entry.path}: removed; a run that was killed left it")
            finally:
                os.close(lock)


def _remove(path: str) -> None:
    """A workplace and the files in it, the lock last; no folders, which it never has."""
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(path), key=lambda name: name == _LOCK):
            os.unlink(os.path.join(path, name))
        os.rmdir(path)
