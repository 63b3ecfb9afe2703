package sdserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
	"math"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/llm"
)

// field is one of a request, of either form. Source: OpenAI API reference, "Create
// image" and "Create image edit".
type field struct {
	name  string
	value any
}

// file is a picture in a form.
type file struct {
	name string
	data []byte
}

// transparent: OpenAI's own models for pictures make transparent backgrounds.
func (u *upstream) transparent() bool { return u.c.Kind == OpenAIImages && u.gpt() }

// gpt: one of OpenAI's models that answer in base64 always, and take no
// response_format.
func (u *upstream) gpt() bool { return strings.HasPrefix(u.c.Model, "gpt-image") }

// openai makes the pictures by OpenAI's API.
func (u *upstream) openai(ctx context.Context, r *llm.PictureRequest, seed int64) ([][]byte, error) {
	files, err := filesOf(r)
	if err != nil {
		return nil, err
	}
	if !u.c.Sampling {
		return u.ask(ctx, u.fields(r, r.Count, seed), files, r.Count)
	}
	var all [][]byte
	for i := range r.Count {
		one, err := u.ask(ctx, u.fields(r, 1, seed+int64(i)), files, 1)
		if err != nil {
			return nil, err
		}
		all = append(all, one...)
	}
	return all, nil
}

// fields are the settings of a request for n pictures.
func (u *upstream) fields(r *llm.PictureRequest, n int, seed int64) []field {
	text := prompt(r)
	if len(r.Colors) > 0 {
		text += ", in the colours " + strings.Join(r.Colors, ", ")
	}
	if r.Negative != "" && !u.c.Sampling {
		text += ". Leave out: " + harmless(r.Negative)
	}
	size := u.size(r)
	out := []field{{"prompt", text}, {"n", n}, {"size", strconv.Itoa(size.Width) + "x" + strconv.Itoa(size.Height)}}
	if u.c.Model != "" {
		out = append(out, field{"model", u.c.Model})
	}
	if u.gpt() {
		out = append(out, field{"output_format", "png"})
	} else {
		out = append(out, field{"response_format", "b64_json"})
	}
	if r.Task == llm.RemoveBackground {
		out = append(out, field{"background", "transparent"})
	}
	if !u.c.Sampling {
		return out
	}
	out = append(out, field{"seed", seed})
	if r.Negative != "" {
		out = append(out, field{"negative_prompt", harmless(r.Negative)})
	}
	if r.Steps > 0 {
		out = append(out, field{"num_inference_steps", r.Steps})
	}
	if r.Guidance != nil {
		out = append(out, field{"guidance_scale", *r.Guidance})
	}
	return out
}

// size is the size to ask for: r's own, or the server's of the nearest shape, the
// nearest in area among those.
func (u *upstream) size(r *llm.PictureRequest) Size {
	want := Size{r.Width, r.Height}
	if len(u.c.Sizes) == 0 {
		return want
	}
	away := func(s Size) (shape, area float64) {
		w, h := float64(s.Width)/float64(want.Width), float64(s.Height)/float64(want.Height)
		return math.Abs(math.Log(w / h)), math.Abs(math.Log(w * h))
	}
	best := u.c.Sizes[0]
	bestShape, bestArea := away(best)
	for _, s := range u.c.Sizes[1:] {
		if shape, area := away(s); shape < bestShape || shape == bestShape && area < bestArea {
			best, bestShape, bestArea = s, shape, area
		}
	}
	return best
}

// filesOf are the pictures of a request, and its mask in OpenAI's form: transparent
// is changed.
func filesOf(r *llm.PictureRequest) ([]file, error) {
	name := "image"
	if len(r.Images) > 1 {
		name = "image[]"
	}
	var out []file
	for i := range r.Images {
		out = append(out, file{name, r.Images[i].Data})
	}
	if r.Mask != nil {
		b, err := mask(r.Mask.Data, color.NRGBA{}, color.NRGBA{A: 0xff})
		if err != nil {
			return nil, err
		}
		out = append(out, file{"mask", b})
	}
	return out, nil
}

// ask asks for n pictures: to make them, or to change those of the files. A server
// that takes no response_format is asked again without.
func (u *upstream) ask(ctx context.Context, fields []field, files []file, n int) ([][]byte, error) {
	out, err := u.send(ctx, fields, files, n)
	se, ok := errors.AsType[*serverError](err)
	if !ok || se.Status != http.StatusBadRequest || se.Blocked {
		return out, err
	}
	var fewer []field
	for _, f := range fields {
		if f.name != "response_format" {
			fewer = append(fewer, f)
		}
	}
	if len(fewer) == len(fields) {
		return nil, err
	}
	return u.send(ctx, fewer, files, n)
}

func (u *upstream) send(ctx context.Context, fields []field, files []file, n int) ([][]byte, error) {
	path, kind, body, err := encode(fields, files)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data []struct {
			Data string `json:"b64_json"`
			URL  string `json:"url"`
		} `json:"data"`
	}
	if err := u.post(ctx, path, kind, body, http.StatusOK, maxAnswer+int64(n)*maxPicture, &answer); err != nil {
		return nil, err
	}
	if len(answer.Data) != n {
		return nil, errNumber
	}
	var out [][]byte
	for _, d := range answer.Data {
		if d.Data == "" && d.URL != "" {
			return nil, errAddress // which nobody but an operator may choose
		}
		b, err := picture(d.Data)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

// encode makes the request: JSON for new pictures, a form for changed ones.
func encode(fields []field, files []file) (path, contentType string, body []byte, err error) {
	if len(files) == 0 {
		m := make(map[string]any, len(fields))
		for _, f := range fields {
			m[f.name] = f.value
		}
		body, err = json.Marshal(m)
		return "/v1/images/generations", "application/json", body, err
	}
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range fields {
		if err := w.WriteField(f.name, fmt.Sprint(f.value)); err != nil {
			return "", "", nil, fmt.Errorf("encode a form: %w", err)
		}
	}
	for i, f := range files {
		h := textproto.MIMEHeader{}
		h.Set("Content-Disposition", `form-data; name="`+f.name+`"; filename="`+strconv.Itoa(i)+`.png"`)
		h.Set("Content-Type", "image/png")
		part, err := w.CreatePart(h)
		if err == nil {
			_, err = part.Write(f.data)
		}
		if err != nil {
			return "", "", nil, fmt.Errorf("encode a form: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return "", "", nil, fmt.Errorf("encode a form: %w", err)
	}
	return "/v1/images/edits", w.FormDataContentType(), b.Bytes(), nil
}
