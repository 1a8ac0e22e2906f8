"""Files by name from a folder, a zip or a tar: listed safely, read on demand, never written anywhere by their names."""

import hashlib
import os
import stat
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath

from ceiba.base.errors import DataError
from ceiba.base.files import digest
from ceiba.read.cache import cached_folder
from ceiba.read.content import content_hash, remembered, stamp, watch
from ceiba.read.decode import opened

MOST_FILE_BYTES = 256 << 20
"""Bytes of one file in an archive at most."""
MOST_RATIO = 200
"""How many times its own size an archive may unpack to, once that exceeds FREE_BYTES."""
FREE_BYTES = 256 << 20
COPY_BYTES = 1 << 20
ENCRYPTED = 0x1
TAR = "plain.tar"

Get = Callable[[str], bytes]
"""A name → the bytes of that file."""


class Files(ABC):
    """A set of named files. Names are relative, with / between folders; hidden files are left out."""

    def __init__(self, path: Path):
        self.path = path
        self.check = watch(path)

    @cached_property
    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Name → size in bytes, sorted by name."""

    @abstractmethod
    def reader(self) -> AbstractContextManager[Get]:
        """What reads files by name while the context is open."""

    @cached_property
    @abstractmethod
    def identity(self) -> str:
        """Hash of all names and contents."""

    @cached_property
    def _short(self) -> dict[str, str | None]:
        """Shorter forms of the names (without folders, without suffix) → the name; None where two files share one."""
        found: dict[str, str | None] = {}
        for name in self.sizes:
            plain = PurePosixPath(name)
            for form in {plain.name, plain.stem, str(plain.with_suffix(""))}:
                found[form] = None if form in found else name
        return found

    def resolve(self, cell: str) -> str | None:
        """The file that a cell names: by its path, else by its bare name where unique, with or without suffix."""
        name = cell.strip().replace("\\", "/").removeprefix("./")
        if name in self.sizes:
            return name
        return self._short.get(name) or self._short.get(PurePosixPath(name).name)


def open_files(path: Path) -> Files:
    """The files of a folder, zip or tar.

    Raises: DataError if it is none of them.
    """
    if path.is_dir():
        return FolderFiles(path)
    if not path.is_file():
        raise DataError(f"{path} must be a folder, a zip or a tar", "nothing of that name", "Correct data.files")
    if zipfile.is_zipfile(path):
        return ZipFiles(path)
    if tarfile.is_tarfile(path):
        return TarFiles(path)
    raise DataError(f"{path} must be a folder, a zip or a tar", "another or a damaged file", "Use an undamaged copy")


class FolderFiles(Files):
    """The files below a folder."""

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Name → size in bytes."""
        found = {}
        for folder, folders, names in os.walk(self.path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in names:
                path = Path(folder, name)
                if not name.startswith(".") and path.is_file():
                    found[path.relative_to(self.path).as_posix()] = path.stat().st_size
        return dict(sorted(found.items()))

    @cached_property
    def identity(self) -> str:
        """Hash of names and contents, computed again only when a file's size or time changed."""

        def stamps() -> list[int]:
            return stamp(self.path) + [number for name in self.sizes for number in stamp(self.path / name)]

        def compute() -> str:
            hasher = hashlib.sha256()
            for name in self.sizes:
                hasher.update(f"{name}\0{digest(self.path / name)}\n".encode())
            return hasher.hexdigest()

        def short() -> list[int]:
            every = stamps()
            return [*every[:4], int.from_bytes(hashlib.sha256(repr(every).encode()).digest()[:7], "little")]

        return remembered(self.path, short, compute)

    @contextmanager
    def reader(self) -> Iterator[Get]:
        """Reads files below the folder."""

        def get(name: str) -> bytes:
            path = self.path / name
            data = path.read_bytes() if path.is_file() else None
            if data is None or len(data) != self.sizes[name]:
                raise DataError(f"{path} must not change while it is used", "another size", "Run again from the start")
            return data

        yield get


class ZipFiles(Files):
    """The members of a zip."""

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Name → size in bytes, as declared; the archive is refused if a member breaks a rule."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise DataError(f"{self.path} must be a zip", str(error), "Use an undamaged copy") from error
        for member in members:
            if stat.S_ISLNK(member.external_attr >> 16):
                raise _refused(self.path, member.filename, "a link")
            if member.flag_bits & ENCRYPTED:
                raise _refused(self.path, member.filename, "an encrypted file")
        return _safe(self.path, ((member.filename, member.file_size) for member in members))

    @cached_property
    def identity(self) -> str:
        """Hash of the archive."""
        return content_hash(self.path)

    @contextmanager
    def reader(self) -> Iterator[Get]:
        """Reads members, no more of one than it declares."""
        self.check()
        with zipfile.ZipFile(self.path) as archive:

            def get(name: str) -> bytes:
                try:
                    with archive.open(name) as member:
                        data = member.read(self.sizes[name] + 1)
                except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
                    raise DataError(
                        f"{self.path} member {name} must be whole", str(error), "Use an undamaged copy"
                    ) from error
                if len(data) != self.sizes[name]:
                    raise _refused(self.path, name, "another size than it declares")
                return data

            yield get


class TarFiles(Files):
    """The members of a tar; a packed one is unpacked once, as one file, into the cache."""

    @cached_property
    def _plain(self) -> Path:
        if self.path.suffix.lower() == ".tar":
            return self.path
        most_bytes = max(FREE_BYTES, MOST_RATIO * self.path.stat().st_size)

        def unpack(folder: Path) -> None:
            copied = 0
            with opened(self.path) as packed, (folder / TAR).open("wb") as plain:
                while block := packed.read(COPY_BYTES):
                    copied += len(block)
                    if copied > most_bytes:
                        raise _refused(self.path, "the whole", f"more than {MOST_RATIO} times its packed size")
                    plain.write(block)

        return cached_folder("unpacked", content_hash(self.path), unpack) / TAR

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Name → size in bytes; the archive is refused if a member breaks a rule."""
        try:
            with tarfile.open(self._plain, "r:") as archive:
                members = [member for member in archive if not member.isdir()]
                end = archive.offset
            with self._plain.open("rb") as plain:
                plain.seek(end)
                closing = plain.read(tarfile.BLOCKSIZE)
        except (tarfile.TarError, OSError, EOFError) as error:
            raise DataError(f"{self.path} must be a tar", str(error), "Use an undamaged copy") from error
        if closing != bytes(tarfile.BLOCKSIZE):  # without it, a cut archive would pass for one with fewer members
            raise DataError(f"{self.path} must end with an empty block", "a cut tar", "Use an undamaged copy")
        for member in members:
            if not member.isreg() or member.issparse():
                raise _refused(self.path, member.name, "a link, a device or a file with holes")
        return _safe(self.path, ((member.name, member.size) for member in members))

    @cached_property
    def identity(self) -> str:
        """Hash of the archive."""
        return content_hash(self.path)

    @contextmanager
    def reader(self) -> Iterator[Get]:
        """Reads members at their places in the tar."""
        if self._plain == self.path:
            self.check()
        with tarfile.open(self._plain, "r:") as archive:
            members = {member.name.removeprefix("./"): member for member in archive}

            def get(name: str) -> bytes:
                file = archive.extractfile(members[name])
                data = file.read() if file else b""
                if len(data) != self.sizes[name]:
                    raise DataError(
                        f"{self.path} member {name} must be whole", f"{len(data)} bytes", "Use an undamaged copy"
                    )
                return data

            yield get


def _safe(path: Path, members: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Names and sizes of an archive's members, held against the rules."""
    found: dict[str, int] = {}
    total_bytes = 0
    most_bytes = max(FREE_BYTES, MOST_RATIO * path.stat().st_size)
    for written, size_bytes in members:
        name = written.removeprefix("./")
        parts = name.replace("\\", "/").split("/")
        if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
            raise _refused(path, written, "a name that leaves the archive")
        total_bytes += size_bytes
        if size_bytes > MOST_FILE_BYTES or total_bytes > most_bytes:
            raise _refused(path, written, f"{total_bytes} bytes unpacked up to this member")
        if any(part.startswith(".") or part == "__MACOSX" for part in parts):
            continue
        if name in found:
            raise _refused(path, written, "two files of one name")
        found[name] = size_bytes
    return dict(sorted(found.items()))


def _refused(path: Path, member: str, got: str) -> DataError:
    return DataError(
        f"{path} member {member!r} must be a plain file of reasonable size", got, "Pack it anew from files you trust"
    )
