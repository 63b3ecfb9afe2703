package picture

import (
	"bytes"
	"encoding/binary"
	"image"
)

// orientation is what the EXIF tag of that name says, 1..8: which way the first
// row and the first column of the stored picture lie.
// Source: TIFF 6.0, tag 274; EXIF 2.32, "Orientation".
type orientation int

const upright orientation = 1

// maxEntries of a TIFF directory are looked at.
const maxEntries = 512

// tiffOrientation reads the tag out of a TIFF header, as EXIF uses it. What
// cannot be read is upright.
func tiffOrientation(t []byte) orientation {
	var order binary.ByteOrder
	switch {
	case bytesAt(t, 0, "II*\x00"):
		order = binary.LittleEndian
	case bytesAt(t, 0, "MM\x00*"):
		order = binary.BigEndian
	default:
		return upright
	}
	if len(t) < 8 {
		return upright
	}
	at := int64(order.Uint32(t[4:]))
	if at+2 > int64(len(t)) {
		return upright
	}
	count := int(order.Uint16(t[at:]))
	entries := t[at+2:]
	for range min(count, maxEntries) {
		if len(entries) < 12 {
			break
		}
		const tag, short = 0x0112, 3
		if order.Uint16(entries) == tag && order.Uint16(entries[2:]) == short && order.Uint32(entries[4:]) == 1 {
			if o := orientation(order.Uint16(entries[8:])); o >= 1 && o <= 8 {
				return o
			}
			break
		}
		entries = entries[12:]
	}
	return upright
}

func jpegOrientation(data []byte) orientation {
	for s := range segments(data) {
		if s.marker == 0xda {
			break
		}
		if t, ok := bytes.CutPrefix(s.data, []byte("Exif\x00\x00")); ok && s.marker == 0xe1 {
			return tiffOrientation(t)
		}
	}
	return upright
}

func pngOrientation(data []byte) orientation {
	for rest := data[8:]; len(rest) >= 12; {
		n := int64(binary.BigEndian.Uint32(rest))
		if n > int64(len(rest))-12 {
			break
		}
		if bytesAt(rest, 4, "eXIf") {
			return tiffOrientation(rest[8 : 8+n])
		}
		rest = rest[12+n:]
	}
	return upright
}

func webpOrientation(data []byte) orientation {
	for c := range chunks(data[12:]) {
		if c.id == "EXIF" {
			t, _ := bytes.CutPrefix(c.data, []byte("Exif\x00\x00"))
			return tiffOrientation(t)
		}
	}
	return upright
}

// turn returns img as it is to be looked at.
func turn(img *image.RGBA, o orientation) *image.RGBA {
	if o == upright {
		return img
	}
	w, h := img.Rect.Dx(), img.Rect.Dy()
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	if o >= 5 {
		out = image.NewRGBA(image.Rect(0, 0, h, w))
	}
	for y := range h {
		for x := range w {
			tx, ty := x, y
			switch o {
			case 2:
				tx = w - 1 - x
			case 3:
				tx, ty = w-1-x, h-1-y
			case 4:
				ty = h - 1 - y
			case 5:
				tx, ty = y, x
			case 6:
				tx, ty = h-1-y, x
			case 7:
				tx, ty = h-1-y, w-1-x
			case 8:
				tx, ty = y, w-1-x
			}
			copy(out.Pix[out.PixOffset(tx, ty):][:4], img.Pix[img.PixOffset(x, y):][:4])
		}
	}
	return out
}
