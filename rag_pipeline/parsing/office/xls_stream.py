"""Old Excel files (XLS) made safe for the library that reads them.

Belongs here: the workbook stream's records as far as its bounds go, and a sound container around it.
Does not belong here: values of cells; the library reads those.

The library follows chains of sectors without end and allocates the rectangle between the outermost cells,
so it gets neither a container nor a sheet that was not checked.
"""

from __future__ import annotations

import struct

from rag_pipeline.errors import EncryptedDocument, LimitExceeded, UnsupportedMediaType
from rag_pipeline.parsing.legacy.ole import OleFile
from rag_pipeline.parsing.media_type import OLE_MAGIC

_BOF, _FILEPASS, _MULRK = 0x0809, 0x002F, 0x00BD
# Every other record that sets a cell begins with its row and column.
_CELLS = frozenset({0x0006, 0x0203, 0x0204, 0x0205, 0x027E, 0x00FD, 0x00D6})
_DIMENSIONS, _UNKNOWN = 0x0200, 0x0FFF
# Sectors of a compound file of version 3 ([MS-CFB] 2.2), and the marks of those that are no content.
_SECTOR_BYTES = 512
_FREE, _END, _TABLE = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD


def sound_xls(raw: bytes, address: str, max_cells: int) -> bytes:
    """A compound file that holds the workbook stream of `raw` and nothing else.

    Raises:
        EncryptedDocument: The workbook needs a password.
        LimitExceeded: A sheet spans more than `max_cells` cells.
        UnparsableDocument: The container is damaged.
        UnsupportedMediaType: There is no workbook.
    """
    container = OleFile(raw, address)
    name = next((name for name in ("Workbook", "Book", "WORKBOOK", "BOOK") if name in container.streams), "")
    if not name:
        raise UnsupportedMediaType(
            f"{address}: the file holds no Excel workbook. Save it in a current format.", address=address
        )
    stream = bytearray(container.read(name))
    _check_records(stream, address, max_cells)
    return wrapped("Book" if name.upper() == "BOOK" else "Workbook", bytes(stream))


def _check_records(stream: bytearray, address: str, max_cells: int) -> None:
    position = 0
    first_row = first_column = 0xFFFF
    last_row = last_column = 0
    while position + 4 <= len(stream):
        kind, size = struct.unpack_from("<HH", stream, position)
        position += 4
        if kind == _FILEPASS:
            raise EncryptedDocument(
                f"{address}: the workbook is protected by a password. Remove the password or exclude it.",
                address=address,
            )
        if kind == _DIMENSIONS:
            # The size a sheet claims to have is allocated unseen.
            struct.pack_into("<H", stream, position - 4, _UNKNOWN)
        elif kind == _BOF:
            first_row = first_column = 0xFFFF
            last_row = last_column = 0
        elif kind in _CELLS or kind == _MULRK:
            if size < 6 or position + size > len(stream):
                break
            row, column = struct.unpack_from("<HH", stream, position)
            is_run = kind == _MULRK
            last = struct.unpack_from("<H", stream, position + size - 2)[0] if is_run else column
            first_row, last_row = min(first_row, row), max(last_row, row)
            first_column, last_column = min(first_column, column), max(last_column, last)
            cells = (last_row - first_row + 1) * (last_column - first_column + 1)
            if cells > max_cells:
                raise LimitExceeded(
                    f"{address}: a sheet spans more than {max_cells:,} cells. Split the workbook, or "
                    "raise `limits.max_cells`.",
                    address=address,
                    limit=max_cells,
                )
        position += size


def wrapped(name: str, stream: bytes) -> bytes:
    """A compound file of one stream ([MS-CFB] with 512-byte sectors: their table, directory, stream)."""
    # Streams under 4096 bytes live elsewhere, so a short one is padded; readers stop at its end mark.
    data = stream.ljust(4096, b"\0")
    data += bytes(-len(data) % _SECTOR_BYTES)
    data_sectors = len(data) // _SECTOR_BYTES
    per_table = _SECTOR_BYTES // 4
    tables = extra = 0
    while True:
        needed = -(-(data_sectors + 1 + tables + extra) // per_table)
        needed_extra = max(0, -(-(needed - 109) // (per_table - 1)))
        if (needed, needed_extra) == (tables, extra):
            break
        tables, extra = needed, needed_extra
    first_data = tables + extra + 1
    chain = [_TABLE] * tables + [_TABLE - 1] * extra + [_END]
    chain += [*range(first_data + 1, first_data + data_sectors), _END]
    chain += [_FREE] * (-len(chain) % per_table)
    listed = list(range(tables)) + [_FREE] * max(0, 109 - tables)
    header = struct.pack("<8s16xHHHHH6xIIIIIIIII", OLE_MAGIC, 0x3E, 3, 0xFFFE, 9, 6, 0, tables, tables + extra, 0, 4096,
                         _END, 0, tables if extra else _END, extra)  # fmt: skip
    out = [header.ljust(76, b"\0")[:76], struct.pack("<109I", *listed[:109])]
    out.append(struct.pack(f"<{len(chain)}I", *chain))
    rest = listed[109:]
    for number in range(extra):
        part = rest[number * (per_table - 1) : (number + 1) * (per_table - 1)]
        part += [_FREE] * (per_table - 1 - len(part))
        following = tables + number + 1 if number + 1 < extra else _END
        out.append(struct.pack(f"<{per_table}I", *part, following))
    out += [_entry("Root Entry", 5, 1, _END, 0), _entry(name, 2, _FREE, first_data, len(data)), bytes(256), data]
    return b"".join(out)


def _entry(name: str, kind: int, below: int, first: int, size: int) -> bytes:
    spelled = name.encode("utf-16-le") + b"\0\0"
    return spelled.ljust(64, b"\0") + struct.pack(
        "<HBBIII36xIQ", len(spelled), kind, 1, _FREE, _FREE, below, first, size
    )
