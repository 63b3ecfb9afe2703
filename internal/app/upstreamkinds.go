package app

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	bedrockengine "github.com/outcrop/outcrop/internal/engine/bedrock"
	openaiengine "github.com/outcrop/outcrop/internal/engine/openai"
	"github.com/outcrop/outcrop/internal/engine/route"
	"github.com/outcrop/outcrop/internal/engine/sdserver"
)

// Kinds of upstreams that speak something else than OpenAI's API of texts.
const (
	kindBedrock = "bedrock"
	kindSD      = string(sdserver.SDServer)
	kindImages  = string(sdserver.OpenAIImages)
)

// address is where the upstream lies.
func (u Upstream) address() string {
	if u.URL == "" && u.Kind == kindBedrock {
		return bedrockengine.Endpoint(u.Region)
	}
	return u.URL
}

// concurrent is how many requests run there at a time.
func (u Upstream) concurrent() int {
	switch u.Kind {
	case kindBedrock:
		return cmp.Or(u.Concurrent, bedrockengine.DefaultConcurrent)
	case kindSD, kindImages:
		return cmp.Or(u.Concurrent, sdserver.DefaultConcurrent)
	}
	return cmp.Or(u.Concurrent, openaiengine.DefaultConcurrent)
}

// checkKind refuses settings that the kind has none of.
func (u Upstream) checkKind() error {
	ways := 0
	for _, set := range []bool{u.CredentialsFile != "", u.CredentialsEnv != "", u.KeyFile != "" || u.KeyEnv != ""} {
		if set {
			ways++
		}
	}
	switch {
	case u.Kind != kindBedrock && (u.CredentialsFile != "" || u.CredentialsEnv != ""):
		return errors.New("credentials_file, credentials_env: only for kind bedrock")
	case u.CredentialsProfile != "" && u.CredentialsFile == "":
		return errors.New("credentials_profile: only beside credentials_file")
	case u.Kind == kindBedrock && ways != 1:
		return errors.New("credentials_file, credentials_env, key_file or key_env: want one of them for kind bedrock")
	case u.Kind == kindBedrock && u.Region == "":
		return errors.New("region: missing, and kind bedrock signs for one")
	case (u.Kind == kindBedrock || u.Kind == kindSD) && (u.ImageSampling || len(u.ImageSizes) > 0):
		return errors.New("image_sampling, image_sizes: only for servers of OpenAI's images API")
	}
	_, err := u.imageSizes()
	return err
}

func (u Upstream) imageSizes() ([]sdserver.Size, error) {
	var out []sdserver.Size
	for _, text := range u.ImageSizes {
		var s sdserver.Size
		if n, err := fmt.Sscanf(text, "%dx%d", &s.Width, &s.Height); n != 2 || err != nil || fmt.Sprintf("%dx%d", s.Width, s.Height) != text {
			return nil, fmt.Errorf("image_sizes: want such as 1024x1024, not %q", text)
		}
		out = append(out, s)
	}
	return out, nil
}

// upstreamEngine is the engine over one server, for the weights that it runs.
func (s *Server) upstreamEngine(u Upstream, all []catalog.Weights, salt []byte) (engine.Engine, error) {
	if u.Kind == kindBedrock {
		return s.bedrockEngine(u, all)
	}
	var pictures, others []catalog.Weights
	for _, w := range all {
		switch {
		case w.Mode == string(engine.Image):
			pictures = append(pictures, w)
		case u.Kind == kindSD, u.Kind == kindImages:
			return nil, fmt.Errorf("weights %q of mode %s: kind %s makes pictures alone", w.ID, w.Mode, u.Kind)
		default:
			others = append(others, w)
		}
	}
	if len(pictures) == 0 {
		return s.openaiEngine(u, others, salt)
	}
	painter, err := s.pictureEngine(u, pictures)
	if err != nil || len(others) == 0 {
		return painter, err
	}
	rest, err := s.openaiEngine(u, others, salt)
	if err != nil {
		return nil, err
	}
	byWeights := make(map[string]engine.Engine, len(pictures))
	for _, w := range pictures {
		byWeights[w.ID] = painter
	}
	return route.New(rest, byWeights), nil
}

// pictureEngine is the engine over a server that makes pictures.
func (s *Server) pictureEngine(u Upstream, all []catalog.Weights) (engine.Engine, error) {
	key, err := s.upstreamKey(u)
	if err != nil {
		return nil, err
	}
	transport, err := u.transport(s.cfg.out)
	if err != nil {
		return nil, err
	}
	sizes, err := u.imageSizes()
	if err != nil {
		return nil, err
	}
	kind := sdserver.OpenAIImages
	if u.Kind == kindSD {
		kind = sdserver.SDServer
	}
	to := make(map[string]sdserver.Upstream, len(all))
	for _, w := range all {
		to[w.ID] = sdserver.Upstream{
			URL: u.URL, Kind: kind, Model: cmp.Or(w.Source.Model, u.Model), Key: key, Header: u.header(), Transport: transport,
			Concurrent: u.Concurrent, Timeout: u.FirstByte, Sampling: u.ImageSampling, Sizes: sizes,
		}
	}
	return sdserver.New(sdserver.Config{Upstreams: to, QueueWait: s.cfg.Engine.QueueDeadline, Queue: s.cfg.Engine.Queue, Log: s.log.With("server", u.Name)})
}

// bedrockEngine is the engine over another Bedrock.
func (s *Server) bedrockEngine(u Upstream, all []catalog.Weights) (engine.Engine, error) {
	key, err := s.upstreamKey(u)
	if err != nil {
		return nil, err
	}
	var credentials bedrockengine.Credentials
	switch {
	case u.CredentialsFile != "":
		credentials, err = bedrockengine.FromFile(u.CredentialsFile, u.CredentialsProfile)
	case u.CredentialsEnv != "":
		credentials, err = bedrockengine.FromEnv(u.CredentialsEnv)
	}
	if err != nil {
		return nil, err
	}
	transport, err := u.transport(s.cfg.out)
	if err != nil {
		return nil, err
	}
	to := make(map[string]bedrockengine.Upstream, len(all))
	for _, w := range all {
		to[w.ID] = bedrockengine.Upstream{
			URL: u.URL, Region: u.Region, Model: cmp.Or(w.Source.Model, u.Model), Mode: engine.Mode(w.Mode),
			Credentials: credentials, Key: key, Header: u.header(), Transport: transport,
			Concurrent: u.Concurrent, ContextTokens: w.ContextTokens, Dimensions: w.Dimensions,
			FirstByte: u.FirstByte, Idle: u.Idle, Images: u.Images,
		}
	}
	return bedrockengine.New(bedrockengine.Config{Upstreams: to, QueueWait: s.cfg.Engine.QueueDeadline, Queue: s.cfg.Engine.Queue, Log: s.log.With("server", u.Name)})
}

func (u Upstream) header() http.Header {
	h := http.Header{}
	for k, v := range u.Headers {
		h.Set(k, v)
	}
	return h
}
