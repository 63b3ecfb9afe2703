package sdserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/engine/remote"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// abilities are what an sd-server tells of itself. Source: stable-diffusion.cpp,
// examples/server/api.md, GET /sdcpp/v1/capabilities.
type abilities struct {
	Modes    []string                   `json:"supported_modes"`
	Features map[string]map[string]bool `json:"features_by_mode"`
	Limits   struct {
		MaxWidth  int `json:"max_width"`
		MaxHeight int `json:"max_height"`
		MaxBatch  int `json:"max_batch_count"`
	} `json:"limits"`
}

const makesImages = "img_gen"

// know asks the server what it can do, once.
func (u *upstream) know(ctx context.Context) (*abilities, error) {
	if a := u.can.Load(); a != nil {
		return a, nil
	}
	a := &abilities{}
	if err := u.get(ctx, "/sdcpp/v1/capabilities", maxAnswer, a); err != nil {
		u.Log.Warn("the server of pictures cannot be used", "error", err)
		return nil, err
	}
	if !slices.Contains(a.Modes, makesImages) {
		u.Log.Warn("the server makes no pictures")
		return nil, apierr.ModelNotReady("The model %q is not ready: its server makes no pictures.", u.ID)
	}
	u.can.Store(a)
	u.Log.Info("the server of pictures is ready", "max_width", a.Limits.MaxWidth, "max_height", a.Limits.MaxHeight)
	return a, nil
}

// lacks is what of a request the server does not do, "" when it does all.
func (a *abilities) lacks(r *llm.PictureRequest) string {
	has := a.Features[makesImages]
	switch {
	case len(r.Images) > 0 && !has["init_image"]:
		return "pictures to start from"
	case r.Mask != nil && !has["mask_image"]:
		return "masks"
	case a.Limits.MaxWidth > 0 && r.Width > a.Limits.MaxWidth, a.Limits.MaxHeight > 0 && r.Height > a.Limits.MaxHeight:
		return fmt.Sprintf("pictures of %dx%d pixels", r.Width, r.Height)
	case a.Limits.MaxBatch > 0 && r.Count > a.Limits.MaxBatch:
		return fmt.Sprintf("%d pictures at a time", r.Count)
	}
	return ""
}

// generation is the body of POST /sdcpp/v1/img_gen. Pictures are PNG in base64.
type generation struct {
	Prompt   string   `json:"prompt"`
	Negative string   `json:"negative_prompt"`
	Width    int      `json:"width"`
	Height   int      `json:"height"`
	Seed     int64    `json:"seed"`
	Count    int      `json:"batch_count"`
	Strength *float64 `json:"strength,omitempty"`
	Image    []byte   `json:"init_image,omitempty"`
	Mask     []byte   `json:"mask_image,omitempty"` // white is changed
	Format   string   `json:"output_format"`
	Metadata bool     `json:"embed_image_metadata"` // the prompt, and paths of the server
	Sample   sample   `json:"sample_params"`
}

type sample struct {
	Steps    int `json:"sample_steps,omitempty"`
	Guidance struct {
		Text *float64 `json:"txt_cfg,omitempty"`
	} `json:"guidance"`
}

// job is what the server tells of a generation.
type job struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Result *struct {
		Images []struct {
			Index int    `json:"index"`
			Data  string `json:"b64_json"`
		} `json:"images"`
	} `json:"result"`
}

// How often a job is asked for.
const (
	firstPoll = 50 * time.Millisecond
	lastPoll  = time.Second
	// patience is how long the cancelling of a job may take.
	patience = 2 * time.Second
)

// native makes the pictures by sd-server's own API. A job that is waited for no
// longer is cancelled: the server drops one that has not begun.
func (u *upstream) native(ctx context.Context, r *llm.PictureRequest, seed int64) (images [][]byte, err error) {
	a, err := u.know(ctx)
	if err != nil {
		return nil, err
	}
	if what := a.lacks(r); what != "" {
		return nil, apierr.Validation("The server of the model %q does not take %s.", u.ID, what)
	}
	g := generation{
		Prompt: prompt(r), Negative: harmless(r.Negative), Width: r.Width, Height: r.Height, Seed: seed, Count: r.Count,
		Strength: r.Strength, Format: "png", Sample: sample{Steps: r.Steps},
	}
	g.Sample.Guidance.Text = r.Guidance
	if len(r.Images) > 0 {
		g.Image = r.Images[0].Data
	}
	if r.Mask != nil {
		if g.Mask, err = mask(r.Mask.Data, color.Gray{Y: 0xff}, color.Gray{}); err != nil {
			return nil, err
		}
		if g.Strength == nil {
			g.Strength = new(1.0)
		}
	}
	body, err := json.Marshal(g)
	if err != nil {
		return nil, fmt.Errorf("encode a generation: %w", err)
	}
	var begun job
	if err := u.post(ctx, "/sdcpp/v1/img_gen", "application/json", body, http.StatusAccepted, maxAnswer, &begun); err != nil {
		return nil, err
	}
	if !validJob(begun.ID) {
		return nil, fmt.Errorf("the id of a job: %w", remote.ErrBadJSON)
	}
	path := "/sdcpp/v1/jobs/" + begun.ID
	defer func() {
		if err == nil || errors.Is(err, errJob) {
			return
		}
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		if resp, err := u.Do(late, &remote.Request{Method: http.MethodPost, Path: path + "/cancel", Once: true, Want: http.StatusOK}); err == nil {
			_ = resp.Body.Close() // read only
		}
	}()
	done, err := u.await(ctx, path, r.Count)
	if err != nil {
		return nil, err
	}
	return done.pictures(r.Count)
}

// validJob reports whether an id can stand in a path.
func validJob(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// await asks for a job until it has ended.
func (u *upstream) await(ctx context.Context, path string, count int) (*job, error) {
	timer := time.NewTimer(firstPoll)
	defer timer.Stop()
	for wait := firstPoll; ; {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-timer.C:
		}
		j := &job{}
		if err := u.get(ctx, path, maxAnswer+int64(count)*maxPicture, j); err != nil {
			return nil, err
		}
		switch j.Status {
		case "completed":
			return j, nil
		case "queued", "generating":
		default:
			return nil, errJob
		}
		wait = min(2*wait, lastPoll)
		timer.Reset(wait)
	}
}

// pictures are those of a job, in their order.
func (j *job) pictures(count int) ([][]byte, error) {
	if j.Result == nil || len(j.Result.Images) != count {
		return nil, errNumber
	}
	out := make([][]byte, count)
	for _, img := range j.Result.Images {
		if img.Index < 0 || img.Index >= count || out[img.Index] != nil {
			return nil, errNumber
		}
		b, err := picture(img.Data)
		if err != nil {
			return nil, err
		}
		out[img.Index] = b
	}
	return out, nil
}

// mask is a mask in another form: black, which is changed, becomes one colour, and
// white another.
func mask(data []byte, changed, kept color.Color) ([]byte, error) {
	src, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read the mask: %w", err)
	}
	size := src.Bounds()
	var out interface {
		image.Image
		Set(x, y int, c color.Color)
	} = image.NewGray(size)
	if _, gray := changed.(color.Gray); !gray {
		out = image.NewNRGBA(size)
	}
	for y := size.Min.Y; y < size.Max.Y; y++ {
		for x := size.Min.X; x < size.Max.X; x++ {
			if l, _, _, _ := src.At(x, y).RGBA(); l < 0x8000 {
				out.Set(x, y, changed)
			} else {
				out.Set(x, y, kept)
			}
		}
	}
	var b bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, out)
	return b.Bytes(), err
}
