"""Makes small files of each format that a document may have, and an image.

Run by itself it writes the documents into the folder that it is given, or with
--png a picture into a file.
"""

import io
import os
import struct
import sys
import zipfile
import zlib

WORD = "Berlin"
FACT = f"The password is {WORD}."

RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
SHEET = f'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="{RELATIONS}"'
WORDML = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def packed(parts):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in parts.items():
            z.writestr(name, content)
    return data.getvalue()


def links(*targets):
    rows = "".join(f'<Relationship Id="rId{i + 1}" Type="{RELATIONS}/{kind}" Target="{to}"/>' for i, (kind, to) in enumerate(targets))
    return f'<?xml version="1.0"?><Relationships xmlns="{PACKAGE}/relationships">{rows}</Relationships>'


def docx():
    body = f"<w:p><w:r><w:t>{FACT}</w:t></w:r></w:p>"
    return packed(
        {
            "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"/>',
            "_rels/.rels": links(("officeDocument", "word/document.xml")),
            "word/document.xml": f'<?xml version="1.0"?><w:document {WORDML}><w:body>{body}</w:body></w:document>',
        }
    )


def xlsx():
    row = f'<row r="1"><c r="A1" t="inlineStr"><is><t>{FACT}</t></is></c></row>'
    return packed(
        {
            "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"/>',
            "_rels/.rels": links(("officeDocument", "xl/workbook.xml")),
            "xl/workbook.xml": f'<workbook {SHEET}><sheets><sheet name="Notes" sheetId="1" r:id="rId1"/></sheets></workbook>',
            "xl/_rels/workbook.xml.rels": links(("worksheet", "worksheets/sheet1.xml")),
            "xl/worksheets/sheet1.xml": f"<worksheet {SHEET}><sheetData>{row}</sheetData></worksheet>",
        }
    )


def pdf():
    content = f"BT /F1 12 Tf 72 700 Td ({FACT}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    data, places = b"%PDF-1.4\n", []
    for i, body in enumerate(objects):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (i + 1, body)
    table = b"".join(b"%010d 00000 n \n" % p for p in places)
    size = len(objects) + 1
    return data + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        size,
        table,
        size,
        len(data),
    )


def documents():
    """One small file of each format; all say the same."""
    return {
        "txt": FACT.encode(),
        "md": f"# Notes\n\n{FACT}\n".encode(),
        "html": f"<html><head><script>ignored()</script></head><body><p>{FACT}</p></body></html>".encode(),
        "csv": f'kind,text\nnote,"{FACT}"\n'.encode(),
        "docx": docx(),
        "xlsx": xlsx(),
        "pdf": pdf(),
    }


def png(width, height):
    """A picture with a gradient in three colours."""
    rows = b"".join(b"\0" + bytes(v for x in range(width) for v in (x * 255 // width, y * 255 // height, 128)) for y in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


if __name__ == "__main__":
    *_, place = sys.argv
    made = {place: png(64, 64)} if "--png" in sys.argv else {os.path.join(place, f"notes.{form}"): c for form, c in documents().items()}
    for path, content in made.items():
        with open(path, "wb") as file:
            file.write(content)
