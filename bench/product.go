package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

// model is the id under which the real weights stand in the catalogue.
const (
	model       = "huggingface.smollm2-135m-instruct-v1:0"
	chatWeights = "smollm2-135m-instruct"
)

// newEngine makes the engine of a server.
type newEngine func(app.Config, *catalog.Catalog, *weights.Store) (engine.Engine, error)

// product is the whole server in this process, on loopback TCP: signatures,
// limits, metering to SQLite and call log are all on.
type product struct {
	address string
	creds   sigv4.Credentials
	app     *app.Server
	stop    func() error
}

// startProduct starts a server with an empty data directory.
func startProduct(ctx context.Context, cfg app.Config, e newEngine) (_ *product, err error) {
	dir, err := os.MkdirTemp("", "outcrop-bench-")
	if err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	cfg.DataDir, cfg.Listen = filepath.Join(dir, "data"), "127.0.0.1:0"
	// Log lines are made as in a real server, and go nowhere.
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	srv, err := app.New(ctx, cfg, log, e)
	if err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	key, err := srv.Keys().Create(ctx, keys.CreateInput{Account: keys.DefaultAccount})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the server: %w", err), srv.Close())
	}
	run, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(run, nil) }()
	return &product{
		address: strings.TrimPrefix(srv.Endpoint(), "http://"), app: srv,
		creds: sigv4.Credentials{AccessKeyID: key.ID, Secret: key.Secret},
		stop: func() error {
			cancel()
			return errors.Join(<-ended, os.RemoveAll(dir))
		},
	}, nil
}

// request returns the bytes of a signed call of an operation of the runtime API:
// "converse" or "converse-stream". They are good for 5 minutes.
func (p *product) request(operation, body string) ([]byte, error) {
	u := "http://" + p.address + "/model/" + url.PathEscape(model) + "/" + operation
	r, err := http.NewRequest(http.MethodPost, u, strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "outcrop-bench")
	if err := sigv4.Sign(r, []byte(body), p.creds, keys.DefaultRegion, "bedrock", time.Now()); err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	return b.Bytes(), nil
}
