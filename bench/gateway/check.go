//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/outcrop/outcrop/bench/internal/wire"
	"github.com/outcrop/outcrop/internal/wire/eventstream"
)

// checker reads one answer and tells whether it is whole and right: every reply,
// of every server alike. Nobody is fast here by leaving something out.
type checker struct {
	form   form
	tokens int
	cut    wire.Cutter
	whole  bool // decode this reply to the last byte, checksums included

	start  []byte // the first bytes of the body, for messages
	body   []byte // of answers that are no streams
	pieces int
	delays []float64 // µs from a token's stamp to its arrival
	at     int       // where in the grammar a stream stands
}

func (c *checker) reset(whole bool) {
	c.cut.End = wire.FrameEnd
	if c.form == chatEvents {
		c.cut.End = wire.LineEnd
	}
	c.whole, c.start, c.body, c.pieces, c.delays, c.at = whole, c.start[:0], c.body[:0], 0, c.delays[:0], 0
}

// piece takes a piece of the body.
func (c *checker) piece(b []byte) error {
	if len(c.start) < 300 {
		c.start = append(c.start, b[:min(len(b), 300)]...)
	}
	switch c.form {
	case chatEvents:
		if c.cut.End == nil {
			c.reset(false)
		}
		return c.cut.Add(b, c.line)
	case frames:
		if c.cut.End == nil {
			c.reset(false)
		}
		if len(b) > 0 && b[0] == '{' { // an error, whose status tells
			return nil
		}
		return c.cut.Add(b, c.frame)
	}
	c.body = append(c.body, b...)
	return nil
}

// order is the grammar of a ConverseStream reply of one text.
var order = [...][]byte{
	[]byte("messageStart"), []byte("contentBlockStart"), []byte("contentBlockDelta"),
	[]byte("contentBlockStop"), []byte("messageStop"), []byte("metadata"),
}

const (
	atDelta = 3 // behind the first contentBlockDelta
	atEnd   = len(order)
)

// frame takes one frame.
func (c *checker) frame(f []byte) error {
	if c.whole {
		if _, _, err := eventstream.Decode(f); err != nil {
			return fmt.Errorf("frame: %w", err)
		}
	}
	if len(f) < 16 {
		return errors.New("a frame is too short")
	}
	headers := 12 + int(f[4])<<24 + int(f[5])<<16 + int(f[6])<<8 + int(f[7])
	if headers > len(f)-4 {
		return errors.New("a frame's headers are too long")
	}
	head, payload := f[12:headers], f[headers:len(f)-4]
	next := c.at
	if c.at == atDelta && bytes.Contains(head, order[atDelta-1]) {
		next = atDelta - 1 // another delta
	}
	if next == 1 && !bytes.Contains(head, order[1]) {
		next = 2 // contentBlockStart may be left out before text
	}
	if next == atEnd || !bytes.Contains(head, order[next]) {
		return fmt.Errorf("frame %.80q where %d of the grammar is due", head, next)
	}
	if c.at = next + 1; c.at == atDelta {
		c.text(payload)
	}
	if c.at == atEnd && !bytes.Contains(payload, []byte(fmt.Sprintf(`"inputTokens":%d`, promptTokens))) &&
		!bytes.Contains(payload, []byte(fmt.Sprintf(`"inputTokens": %d`, promptTokens))) {
		return fmt.Errorf("metadata without the upstream's usage: %.200q", payload)
	}
	return nil
}

// text takes a piece of the reply's text.
func (c *checker) text(payload []byte) {
	c.pieces++
	now := monotonic()
	if c.tokens == instantTokens {
		return
	}
	stampsIn(payload, func(ns int64) { c.delays = append(c.delays, float64(now-ns)/1e3) })
}

// line takes a line of server-sent events.
func (c *checker) line(l []byte) error {
	data, ok := bytes.CutPrefix(bytes.TrimRight(l, "\r\n"), []byte("data: "))
	if !ok {
		return nil
	}
	switch {
	case c.at == atEnd:
		return errors.New("an event behind the end")
	case bytes.Equal(data, []byte("[DONE]")):
		c.at = atEnd
	case bytes.Contains(data, []byte(`"content":"`)) && !bytes.Contains(data, []byte(`"content":""`)):
		c.text(data)
	}
	return nil
}

// end checks the answer as a whole.
func (c *checker) end() error {
	switch c.form {
	case frames, chatEvents:
		if c.at != atEnd {
			return fmt.Errorf("the stream ended early, at %d of the grammar: %.300q", c.at, c.start)
		}
		if len(c.delays) != c.tokens && c.tokens != instantTokens && c.form == chatEvents {
			return fmt.Errorf("%d tokens of %d", len(c.delays), c.tokens)
		}
		return nil
	}
	if !bytes.Contains(c.body, []byte(instantText)) {
		return fmt.Errorf("not the upstream's reply: %.300q", c.body)
	}
	if !c.whole {
		return nil
	}
	return c.usage()
}

// usage checks the numbers of an answer.
func (c *checker) usage() error {
	var a struct {
		Usage struct {
			Prompt int `json:"prompt_tokens"`
			Input  int `json:"inputTokens"`
			Made   int `json:"completion_tokens"`
			Output int `json:"outputTokens"`
		} `json:"usage"`
	}
	if err := json.Unmarshal(c.body, &a); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if u := a.Usage; u.Prompt+u.Input != promptTokens || u.Made+u.Output != instantTokens {
		return fmt.Errorf("not the upstream's usage: %+v", u)
	}
	return nil
}
