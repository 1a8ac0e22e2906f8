"""Files written all or nothing (law 3): temporary sibling, fsync, manifest, rename, fsync the parent.

Every write of Ceiba that matters goes through this file, so that a test may make any single one of them fail.
"""

import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ceiba.base.errors import BundleError, InputError, listed
from ceiba.base.ranks import leads

MANIFEST = "MANIFEST"
MARK = ".ceiba-tmp-"
CHUNK_BYTES = 1 << 20
WORLD_WRITABLE = 0o002

on_operation: Callable[[str, Path], None] | None = None
"""A test hook that sees (operation, path) before each write, fsync and rename, and may raise OSError."""


def _step(operation: str, path: Path) -> None:
    if on_operation is not None:
        on_operation(operation, path)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Within, an error of the system that names no file (a full disk, when a file is written) names this one."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def sync_file(path: Path) -> None:
    """Force one file, or one folder's entries, to the disk."""
    _step("fsync", path)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are not there, the name of each forced to the disk."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_file(folder.parent)


def free_bytes(folder: Path) -> int:
    """Room on the disk of a folder, or of the nearest one above it that is there."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def digest(path: Path) -> str:
    """SHA-256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file under its final name, or leave what was there."""
    path = Path(path)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise InputError(f"{path} must be a plain file or absent", "a link, a folder or a device", "Name another path")
    make_folder(path.parent)
    temporary = path.with_name(f"{MARK}{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        with naming(path):
            _step("write", temporary)
            with temporary.open("wb") as file:
                file.write(data)
            sync_file(temporary)
            _step("rename", path)
            os.replace(temporary, path)
            sync_file(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write a value as readable JSON, all or nothing. NaN and infinities are refused: JSON has none."""
    write_bytes(path, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


@contextmanager
def write_stream(path: Path) -> Iterator[Path]:
    """A temporary path for a file written by someone else; renamed to `path` on success, removed on failure."""
    path = Path(path)
    make_folder(path.parent)
    temporary = path.with_name(f"{MARK}{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        with naming(path):
            yield temporary
            sync_file(temporary)
            _step("rename", path)
            os.replace(temporary, path)
            sync_file(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def files_below(folder: Path) -> list[Path]:
    """Every entry below a folder that is not itself a folder, sorted, links included."""
    return sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def write_manifest(folder: Path, durable: bool = True) -> None:
    """List every file of a folder with its size and SHA-256, and force all of them to the disk."""
    entries = {}
    for path in files_below(folder):
        if durable:
            sync_file(path)
        entries[path.relative_to(folder).as_posix()] = {"size": path.stat().st_size, "sha256": digest(path)}
    _step("write", folder / MANIFEST)
    (folder / MANIFEST).write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    if durable:
        sync_file(folder / MANIFEST)


def verify_manifest(folder: Path) -> None:
    """Hold a folder against its manifest.

    Raises: BundleError for a missing, extra, resized or altered file, a link, or a name that leaves the folder.
    """
    path = folder / MANIFEST
    if not path.is_file() or path.is_symlink():
        raise BundleError(f"{folder} must hold a file {MANIFEST}", "none", "Name a folder that Ceiba wrote")
    try:
        entries: dict[str, dict[str, object]] = json.loads(path.read_text(encoding="utf-8"))
        expected = {str(name): (entry["size"], entry["sha256"]) for name, entry in entries.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BundleError(f"{path} must be a manifest", "something else", "Use an undamaged copy") from error
    found: dict[str, Path] = {}
    for file in files_below(folder):
        name = file.relative_to(folder).as_posix()
        if file.is_symlink() or not file.is_file() or file.stat().st_nlink > 1:
            raise BundleError(
                f"{folder} must hold plain files only", f"{name}, a link or a device", "Use an undamaged copy"
            )
        if name not in (MANIFEST, MANIFEST + ".sig"):
            found[name] = file
    if missing := sorted(set(expected) - set(found)):
        raise BundleError(f"{folder} lacks files of its manifest", listed(missing), "Use an undamaged copy")
    if extra := sorted(set(found) - set(expected)):
        raise BundleError(f"{folder} holds files that its manifest does not list", listed(extra), "Remove them")
    for name, (size, sha256) in expected.items():
        actual = found[name].stat().st_size
        if actual != size:
            raise BundleError(f"{folder / name} must have {size} bytes", actual, "Use an undamaged copy")
        if digest(found[name]) != sha256:
            raise BundleError(f"{folder / name} fails its checksum", "other bytes", "Use an undamaged copy")


def _close(folder: Path) -> None:
    """What a umask of 000 leaves open: only owner and group may write what is sealed."""
    for path in (folder, *folder.rglob("*")):
        mode = path.stat().st_mode
        if mode & WORLD_WRITABLE:
            path.chmod(mode & 0o7777 & ~WORLD_WRITABLE)


@contextmanager
def write_folder(target: Path, manifest: bool = True, durable: bool = True) -> Iterator[Path]:
    """A temporary sibling folder; on success it is sealed by a manifest and renamed to `target`, on failure removed.

    Not `durable` is for what can be made again and is held against its manifest when opened: a power loss may damage
    it, which is then seen.

    Raises: InputError if the target exists already.
    """
    target = Path(target)
    if target.exists() or target.is_symlink():
        raise InputError(f"{target} must not exist", "something of that name", "Name another folder or remove it")
    make_folder(target.parent)
    temporary = target.with_name(f"{MARK}{target.name}-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    temporary.mkdir()
    try:
        with naming(target):
            yield temporary
            if manifest:
                write_manifest(temporary, durable)
            if durable:
                for folder in sorted(path for path in temporary.rglob("*") if path.is_dir()):
                    sync_file(folder)
                sync_file(temporary)
            _close(temporary)
            _step("rename", target)
            os.rename(temporary, target)
            if durable:
                sync_file(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder so that nothing half removed keeps its name, also if the process is killed meanwhile.

    Raises: OSError.
    """
    gone = folder.with_name(f"{MARK}{folder.name}-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    os.rename(folder, gone)
    shutil.rmtree(gone)


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold a folder for one writer; the system lets go of it when the process ends, however it ends.

    Raises: InputError naming the process that holds it.
    """
    make_folder(folder)
    if not leads():  # the leading process holds it for all
        yield
        return
    with (folder / "lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise InputError(f"{folder} is in use", f"process {owner}", "Wait for it or name another folder") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def is_held(folder: Path) -> bool:
    """Whether a process holds a folder now."""
    try:
        with (folder / "lock").open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
