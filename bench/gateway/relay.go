//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// relay is a control: the least that a gateway in Go can do with net/http. It
// reads a request, sends its body on and writes the answer back; no keys, no
// checks, no translation, no log. What it costs on a machine is what any gateway
// of this kind costs there before it does its work.
const relay = "net/http relay"

// runRelay serves on address before an upstream until ctx ends.
func runRelay(ctx context.Context, address, upstream string) error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	s := &http.Server{Addr: address, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if err := passOn(client, upstream, w, r); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	})}
	context.AfterFunc(ctx, func() { _ = s.Close() })
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("relay: %w", err)
	}
	return nil
}

func passOn(client *http.Client, upstream string, w http.ResponseWriter, r *http.Request) error {
	up, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+upstream+r.URL.Path, r.Body)
	if err != nil {
		return err
	}
	up.ContentLength = r.ContentLength
	up.Header.Set("Content-Type", r.Header.Get("Content-Type"))
	resp, err := client.Do(up)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	w.WriteHeader(resp.StatusCode)
	_, err = w.Write(body)
	return err
}
