"""Zip files of an array that are not what they seem."""

import zipfile
from pathlib import Path

import numpy as np

MIB = 2**20


def npz_of_zeros(
    path: Path,
    size: int,
    *,
    said: int | None = None,
    copies: int = 0,
    method: int = zipfile.ZIP_DEFLATED,
) -> Path:
    """Writes a file with an array of zeros, a thousandth of its size.

    Args:
        path: The file.
        size: How many bytes the array has.
        said: How many its member has, as the file's directory says; the truth by default.
        copies: How many more members are the same bytes once more.
        method: How they are compressed.
    """
    with zipfile.ZipFile(path, "w", method) as archive, archive.open("maps.npy", "w") as member:
        header = {"descr": "|u1", "fortran_order": False, "shape": (size,)}
        np.lib.format.write_array_header_1_0(member, header)
        member.write(bytes(size))
    with zipfile.ZipFile(path, "a") as archive:
        (info,) = archive.infolist()
        info.file_size = info.file_size if said is None else said
        for index in range(copies):
            again = zipfile.ZipInfo(f"{index}.npy")
            for name in ("compress_type", "CRC", "compress_size", "file_size", "header_offset"):
                setattr(again, name, getattr(info, name))
            archive.filelist.append(again)
        # It is for this that the directory is written anew.
        archive.comment = b"."
    return path
