package picture

import (
	"image"
	"image/draw"
)

// shrink draws canvas of src on white, scaled down so that no edge is longer
// than edge.
func shrink(src image.Image, canvas image.Rectangle, edge int) *image.RGBA {
	w, h := canvas.Dx(), canvas.Dy()
	tw, th := w, h
	if longer := max(w, h); longer > edge {
		tw, th = max(1, (w*edge+longer/2)/longer), max(1, (h*edge+longer/2)/longer)
	}
	return average(src, canvas, tw, th, true)
}

// average draws canvas of src scaled down to tw by th pixels, on white or with its
// transparency. A pixel of the result is the average of the area that it covers, so
// thin lines survive. src is read row by row: nothing else is as large as it.
func average(src image.Image, canvas image.Rectangle, tw, th int, white bool) *image.RGBA {
	w, h := canvas.Dx(), canvas.Dy()
	out := image.NewRGBA(image.Rect(0, 0, tw, th))
	// Both axes count in units that divide evenly: a source pixel is tw by th
	// units, a target pixel w by h units.
	row := image.NewRGBA(image.Rect(0, 0, w, 1))
	sums := make([]uint64, channels*tw)
	line := make([]uint64, channels*tw)
	op := draw.Src
	if white {
		op = draw.Over
	}
	ty, room := 0, h // target row, and units of it that are still empty
	for y := range h {
		if white {
			draw.Draw(row, row.Rect, image.White, image.Point{}, draw.Src)
		}
		draw.Draw(row, row.Rect, src, canvas.Min.Add(image.Pt(0, y)), op)
		if tw == w && th == h {
			copy(out.Pix[y*out.Stride:][:4*w], row.Pix)
			continue
		}
		squeeze(line, row.Pix, w, tw)
		for left := th; left > 0; { // units of this source row
			n := min(left, room)
			for i, v := range line {
				sums[i] += v * uint64(n) // #nosec G115 -- positive
			}
			left, room = left-n, room-n
			if room == 0 {
				store(out.Pix[ty*out.Stride:], sums, uint64(w)*uint64(h)) // #nosec G115 -- positive
				clear(sums)
				ty, room = ty+1, h
			}
		}
	}
	return out
}

// channels of a pixel; colours are multiplied by the last one, which is how opaque it
// is.
const channels = 4

// squeeze sums a row of w pixels into tw ones; each sum is w times the average.
func squeeze(line []uint64, pix []byte, w, tw int) {
	clear(line)
	tx, room := 0, w
	for x := range w {
		p := pix[channels*x : channels*x+channels]
		for left := tw; left > 0; {
			n := min(left, room)
			for c, v := range p {
				line[channels*tx+c] += uint64(v) * uint64(n) // #nosec G115 -- positive
			}
			left, room = left-n, room-n
			if room == 0 {
				tx, room = tx+1, w
			}
		}
	}
}

// store writes averages of sums over area units.
func store(pix []byte, sums []uint64, area uint64) {
	for i, sum := range sums {
		pix[i] = byte((sum + area/2) / area) // #nosec G115 -- an average of bytes
	}
}
